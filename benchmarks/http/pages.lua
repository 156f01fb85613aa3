-- Asks for any of the 417 pages of 20 words: what a cache of one page cannot answer.
math.randomseed(20261125)
request = function()
  return wrk.format("GET", "/v1/words?limit=20&page=" .. math.random(1, 417))
end
