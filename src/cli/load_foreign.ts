/**
 * Flags of other load generators, and what they are called here: for whoever has typed them for years.
 *
 * @module
 */

const DURATION = "--duration TIME";
const REQUESTS = "--requests N";
const CONCURRENCY = "--concurrency N";
const RATE = "--rate R";
const BODY = "--body JSON, or --bodies FILE with one on each line";
const RAW = "--raw FILE for each request, -o FILE for the run";
const PROMPT = "--prompt-tokens N";
const OUTPUT = "--output-tokens N";
const PATH = "a part of the URL";
const HEADER = "--header 'Authorization: Bearer …'";

/** Their flag → ours. Where several tools have one name for several things, the commonest. */
export const FOREIGN_FLAGS: Readonly<Record<string, string>> = {
  // vLLM and SGLang
  "--request-rate": RATE,
  "--num-prompts": REQUESTS,
  "--num-requests": REQUESTS,
  "--goodput": "--slo ttft=300ms,tpot=50ms",
  "--burstiness": "--arrivals gamma:K",
  "--num-warmups": "--warmup N",
  "--warmup-requests": "--warmup N",
  "--base-url": PATH,
  "--host": PATH,
  "--port": PATH,
  "--backend": "--api NAME",
  "--endpoint-type": "--api NAME",
  "--random-input-len": PROMPT,
  "--random-input": PROMPT,
  "--input-len": PROMPT,
  "--random-output-len": OUTPUT,
  "--random-output": OUTPUT,
  "--output-len": OUTPUT,
  "--dataset-name": "--trace FILE, --bodies FILE or --prompt-tokens N",
  "--dataset-path": "--trace FILE, or --bodies FILE",
  "--save-result": `--as vllm --json; or ${RAW}`,
  "--save-detailed": RAW,
  "--result-filename": "-o FILE",
  "--output-file": "-o FILE",
  "--disable-stream": "--whole",
  "--ramp-up-strategy": "--ramp TIME with --ramp-kind",
  // GuideLLM and AIPerf
  "--target": PATH,
  "--profile": "--sweep, --rate R or --concurrency N",
  "--rate-type": "--sweep, --rate R or --concurrency N",
  "--max-seconds": DURATION,
  "--max-requests": REQUESTS,
  "--data": "--trace FILE, --bodies FILE or --prompt-tokens N",
  "--output-path": "-o FILE",
  "--url": PATH,
  "--streaming": "what it does unless --whole says otherwise",
  "--request-count": REQUESTS,
  "--warmup-request-count": "--warmup N",
  "--benchmark-duration": DURATION,
  "--request-timeout-seconds": "--timeout TIME",
  "--synthetic-input-tokens-mean": PROMPT,
  "--isl": PROMPT,
  "--output-tokens-mean": OUTPUT,
  "--osl": OUTPUT,
  "--random-seed": "--seed N",
  "--input-file": "--trace FILE",
  "--endpoint-path": PATH,
  "--api-key": HEADER,
  // oha, hey, wrk, bombardier, vegeta, k6
  "-z": DURATION,
  "-q": RATE,
  "-t": "--timeout TIME, or for threads --workers N",
  "-u": PATH,
  "-i": REQUESTS,
  "-T": "--header 'Content-Type: …'",
  "-D": BODY,
  "-a": HEADER,
  "-k": "--insecure",
  "-l": "there always: the report has all percentiles",
  "--latency": "there always: the report has all percentiles",
  "--no-tui": "what it does when standard error is no terminal",
  "--qps": RATE,
  "--rps": RATE,
  "--connections": CONCURRENCY,
  "--threads": "--workers N",
  "--vus": CONCURRENCY,
  "--users": CONCURRENCY,
  "--iterations": REQUESTS,
  "--stage": "--ramp TIME",
  "--time": DURATION,
  "--disable-keepalive": "--new-connections",
  "--output": "-o FILE",
  "--format": "--json, --csv FILE or --html FILE",
  "--summary-export": "-o FILE",
  "--body-file": BODY,
  "--cacert": "--ca-file FILE",
  "--max-tokens": OUTPUT,
};
