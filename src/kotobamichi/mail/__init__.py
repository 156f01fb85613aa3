"""Mail: written into a table in the transaction of the request, sent by a worker."""
