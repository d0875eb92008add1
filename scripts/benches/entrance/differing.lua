-- For wrk: no request is like another, as of many visitors. Path, query, cookie and trace differ, the other headers
-- are those of the command line. The count begins at the time, so that the next run repeats nothing of this one.

local number = os.time() * 100000

function request()
   number = number + 1
   wrk.headers["Cookie"] = string.format("session=%032x; theme=dark", number)
   wrk.headers["traceparent"] = string.format("00-%032x-%016x-01", number, number)
   return wrk.format(nil, string.format("/goods/%d?visit=%d", number % 1000003, number))
end
