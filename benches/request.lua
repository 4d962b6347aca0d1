-- wrk: sends one fixed request and tells the result as one line of JSON.
-- Arguments after `--`: the request target, the Host field, and `close` for a new connection each time.

function init(args)
   wrk.path = args[1]
   wrk.headers["Host"] = args[2]
   if args[3] == "close" then
      wrk.headers["Connection"] = "close"
   end
end

function done(summary, latency, requests)
   local errors = summary.errors
   io.write(string.format(
      '{"requests": %d, "errors": %d, "bytes": %d, "seconds": %.6f, "p50_us": %d, "p99_us": %d}\n',
      summary.requests,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout,
      summary.bytes,
      summary.duration / 1e6,
      latency:percentile(50.0),
      latency:percentile(99.0)
   ))
end
