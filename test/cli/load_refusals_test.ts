import { describe, expect, test } from "bun:test";
import { say } from "./say.ts";

/** What goes wrong before anything is sent: words → what it complains of. All exit with 2. */
const COMPLAINTS: readonly (readonly [readonly string[], RegExp])[] = [
  [[], /It is: weir load URL/],
  [["ftp://a/"], /load needs an http:\/\/ or https:\/\/ URL, not "ftp:/],
  [["http://a", "-c", "0"], /--concurrency must be a whole number from 1 to 20000/],
  [["http://a", "-c", "1,x"], /--concurrency must be a whole number/],
  [["http://a", "-r", "5", "-c", "1"], /--rate and --concurrency.* exclude each other/],
  [["http://a", "--arrivals", "gamma:0"], /--arrivals must be constant, poisson or gamma:K/],
  [["http://a", "--duration", "5x"], /--duration must be a time such as/],
  [["http://a", "--slo", "latency=5s"], /--slo has limits on ttft, tpot, itl or e2e: not on "lat/],
  [["http://a", "--slo", "ttft=fast"], /--slo must be a time/],
  [["http://a", "-H", "sk-secret"], /--header needs NAME: VALUE/],
  [["http://a", "--search"], /--search needs --slo: these are the limits/],
  [
    ["http://a", "--sweep", "-r", "5"],
    /--sweep and --rate exclude each other: it finds its rates itself/,
  ],
  [["http://a", "b"], /Unexpected argument "b"/],
  [["http://a", "--shard", "3/2"], /--shard must be I\/N with I from 1 to N/],
  [["http://a", "--shard", "0/2"], /--shard must be I\/N with I from 1 to N/],
  [["http://a", "--shard", "job/2"], /--shard job\/2 needs JOB_COMPLETION_INDEX.*: it is not set/],
  [
    ["http://a", "--shard", "1/2", "--sweep"],
    /--sweep and --shard exclude each other: it goes on by what all of/,
  ],
  [["http://a", "--shard", "1/2", "--search", "--slo", "e2e=1s"], /it goes on by what all/],
  [
    ["http://a", "-r", "9", "--max-concurrency", "3", "--workers", "4"],
    /leaves nothing for some of 4 parts/,
  ],
  [["http://a", "--start-at", "1795903200000"], /--start-at is \d+ days away.* not milliseconds/],
  [["http://a", "--workers", "2", "--bodies", "/dev/null"], /has no line/],
  [["https://a", "--workers", "2", "--ca-file", "/dev/null"], /\/dev\/null has no certificate/],
  [["http://a", "--workers", "0"], /--workers must be a whole number from 1 to 256/],
  [["http://a", "--json", "--csv", "-"], /--json and --csv - would be printed into each other/],
  [["http://a", "-o", "-", "--csv", "-"], /--out - and --csv - would be printed into each other/],
  [["merge"], /merge needs the files of runs/],
  [["merge", "a", "--as", "vllm"], /merge has no --as: it needs every event of every request/],
  [["merge", "a", "--rate", "5"], /merge has no --rate: it is of the run itself/],
  [["compare", "a", "b", "--csv", "c"], /compare has no --csv/],
  [["merge", "nowhere.json"], /Cannot read the run nowhere\.json: there is no such file/],
  [["compare", "package.json", "b"], /Cannot read package\.json: it is no run/],
  [["http://u:secret@[z"], /needs an http:\/\/ or https:\/\/ URL, not "http:\/\/\[z"/],
  [["htp://u:secret@h/?key=secret"], /URL, not "htp:\/\/h\/\?…"/],
  [["http://a", "http://u:secret@b"], /Unexpected argument "http:\/\/b": another .* --endpoint/],
  [["http://a", "--token=secret"], /Unknown option '--token'\./],
  [["http://a", "--request-rate", "5"], /Unknown option '--request-rate'. Here it is --rate R/],
  [["http://a", "--num-prompts=5"], /Here it is --requests N/],
  [["http://a", "--rps", "5"], /Unknown option '--rps'. Here it is --rate R/],
  [["http://a", "-r", "5", "--arrivals", "uniform"], /it is "uniform", which here is constant/],
  [["http://a", "-z", "10s"], /Unknown option '-z'. Here it is --duration TIME/],
  [["http://a", "--trace", "nowhere.csv"], /Cannot read --trace nowhere\.csv: there is no such/],
  [["http://a", "--bodies", "nowhere.jsonl"], /Cannot read --bodies nowhere\.jsonl/],
  [["https://a", "--ca-file", "package.json"], /package\.json has no certificate/],
  [["http://a", "--ca-file", "package.json"], /--ca-file is of https, and no URL here is/],
  [["http://a", "-o", "nowhere/x"], /Cannot write --out nowhere\/x: there is no such folder/],
  [["http://a", "--csv", "."], /Cannot write --csv \.: it is a folder/],
  [["http://a", "--raw", "-"], /--raw needs a file/],
  [["http://a", "-o", "x", "--raw", "./x"], /--out and --raw are the same file/],
  [["http://a", "-d", "10s"], /--body is no JSON object: a time is --duration/],
  [["http://a", "-d", "@secret"], /--body is no JSON object: bodies in a file are --bodies FILE/],
  [["http://a", "--bodies", "package.json"], /--bodies package\.json, line 1 is no JSON object/],
  [["http://a", "-n", "1", "-d", "x"], /--body is no JSON object/],
  [["http://a", "--slo", "ttft=5"], /--slo ttft=5 has no unit: 5ms or 5s/],
  [["http://a", "--slo", "ttft=5s,ttft=6s"], /--slo has two limits on ttft/],
  [["http://a", "--duration", "0"], /--duration must be longer than 0/],
  [["http://a", "--timeout", "0s"], /--timeout must be longer than 0/],
  [["http://a", "--search", "-r", "5,4", "--slo", "e2e=1s"], /--search takes one number of --rate/],
  [["http://a", "-H", "content-length: 3"], /--header cannot have content-length/],
  [["http://a", "--endpoint", "http://a/v1/messages"], /speaks messages by its path, .* chat/],
  [
    ["http://u:secret@a/v1/chat/completions", "--api", "messages"],
    /--api messages contradicts http:\/\/a\/v1\/chat\/completions, whose path is of chat:/,
  ],
  [
    ["http://a/mine", "--api", "chat", "--endpoint", "http://a/v1/responses"],
    /--api chat contradicts http:\/\/a\/v1\/responses/,
  ],
  [["http://a/v1/embeddings", "--leave-after", "5"], /Embeddings have no --leave-after/],
  [["http://a/v1/embeddings", "--output-tokens", "5"], /Embeddings have no --output-tokens/],
  [["http://a", "--start-at", "soon"], /--start-at must be a time/],
  [["http://a", "-n", "5", "-r", "1"], /--streams is of a burst, --rate of a load: one of them/],
  [["http://a/other"], /Nobody knows what to post to this path/],
  [
    ["http://a", "-d", "{}", "--prompt", "x"],
    /--body and --prompt exclude each other: what is given is sent as/,
  ],
  [["http://a", "--ramp", "5s", "-r", "5", "--ramp-kind", "exponential"], /needs --ramp-from/],
];

/** Flags that need another one, or exclude each other → what is said of them. */
const RULES: readonly (readonly [readonly string[], RegExp])[] = [
  [["--max-concurrency", "5"], /^--max-concurrency needs --rate.* other tools call so is --concu/],
  [["-r", "5", "--concurrency", "5"], /^--rate and --concurrency exclude .* is --max-concurrency/],
  [["--sweep", "--search", "--slo", "e2e=1s"], /^--sweep and --search exclude each other/],
  [["--arrivals", "constant"], /^--arrivals needs --rate, --sweep or --search/],
  [["-r", "5", "--ramp-from", "1"], /^--ramp-from needs --ramp:/],
  [["--ramp", "5s", "--ramp-from", "1"], /^--ramp-from needs --rate/],
  [["--ramp", "5s", "--ramp-kind", "linear"], /^--ramp-kind needs --rate/],
  [["--trace", "x", "--ramp", "5s"], /^--ramp needs --rate.*: a trace has its own times/],
  [["--sweep-size", "5"], /^--sweep-size needs --sweep/],
  [["--stop-when-saturated"], /^--stop-when-saturated needs --rate/],
  [["--requests", "5", "--grace", "1s"], /^--grace needs --duration/],
  [["--speed", "2"], /^--speed needs --trace/],
  [["--trace", "x", "-r", "5", "--speed", "2"], /^--speed and --rate exclude each other/],
  [["-r", "5", "--think", "1s"], /^--think needs --turns or --concurrency/],
  [
    ["--whole", "--leave-after", "1"],
    /^--leave-after and --whole exclude each other: nobody leaves/,
  ],
  [["--leave-share", "0.5"], /^--leave-share needs --leave-after/],
  [["--slo-share", "0.5"], /^--slo-share needs --slo/],
  [["-X", "GET", "-d", "{}"], /^--method GET and --body exclude each other/],
  [["-d", "{}", "--model", "x"], /^--body and --model exclude each other/],
  [["--trace", "x", "--prompt", "x"], /^--trace and --prompt exclude each other/],
];

describe("weir load refuses", () => {
  for (const [words, complaint] of COMPLAINTS) {
    test(words.join(" "), async () => {
      const said = await say(["load", ...words]);
      expect(said.complaint).toMatch(complaint);
      expect(said.complaint).not.toContain("secret");
      expect(said.code).toBe(2);
    });
  }

  for (const [words, complaint] of RULES) {
    test(words.join(" "), async () => {
      const said = await say(["load", "http://a", ...words]);
      expect(said.complaint).toMatch(complaint);
      expect(said.code).toBe(2);
    });
  }
});
