-- For wrk: sends the requests of a file, over and over. A line is method, path, token and body, with tabs between; `-` is nothing.

local requests = {}
local number = 0

function init(arguments)
    for line in io.lines(arguments[1]) do
        local method, path, token, body = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t(.*)$")
        local headers = {}
        if token ~= "-" then headers["Authorization"] = "Bearer " .. token end
        if body == "-" then body = nil else headers["Content-Type"] = "application/json" end
        requests[#requests + 1] = wrk.format(method, path, headers, body)
    end
end

function request()
    number = number % #requests + 1
    return requests[number]
end
