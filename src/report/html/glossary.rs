//! The words of a report and what they mean, for readers who were not there.
//!
//! Every view that explains a word takes the explanation from here.

/// Words and their meanings, in the order in which a report uses them.
pub(super) const GLOSSARY: &[(&str, &str)] = &[
    (
        "PASS, FAIL, INCONCLUSIVE",
        "A gate passes when its 95 % bound lies on the good side of the limit, and fails when the other \
         95 % bound lies on the bad side. In between, or with too little data, it is inconclusive. The \
         run fails if any gate fails, and is inconclusive if any gate is; missing data never passes.",
    ),
    (
        "Intended start",
        "The moment at which the schedule wanted a request to leave. A request that had to wait is \
         counted with its wait.",
    ),
    (
        "Response time",
        "From the intended start to the last byte of the answer. What a user feels, and what gates look \
         at unless they say otherwise.",
    ),
    (
        "Service time",
        "From the actual send to the last byte; on Linux over plain TCP, to the moment the kernel had \
         it. The difference to the response time is queueing: waiting to be sent, and waiting here to be \
         read (the client queue).",
    ),
    ("TTFB", "Time to first byte, from the intended start."),
    (
        "TTFT",
        "Time to first token, from the intended start: to the first event of a streamed answer that \
         carries a part of it that is not empty. An event that only names the role is none. \
         `ttft_service` is the same from the actual send.",
    ),
    (
        "ITL",
        "Inter-token latency: the time from one event with tokens to the next, every gap of every \
         successful stream. Events that came in one piece have no time between them. Where an event \
         carries several tokens, this is the time between events; the table of streams says how many.",
    ),
    (
        "TPOT",
        "Time per output token of one stream: from its first to its last token, divided by the tokens \
         after the first. Tokens per second of a user are its inverse.",
    ),
    (
        "Tokens",
        "Output tokens as the server counts them (usage), where it does; else each event with tokens \
         counts as one. Tokens per second are events as they came within the measured window, of all \
         streams, times the tokens that one carried on average.",
    ),
    (
        "Goodput",
        "Requests per second that succeeded and met every objective (`slo`) of the phase. Those that \
         failed or timed out met none.",
    ),
    (
        "p99",
        "The value below which 99 % of requests lie. In gates, requests that failed or timed out count \
         as slower than any limit. In tables and charts, percentiles are over successful requests.",
    ),
    (
        "Phase, warm-up, measured window",
        "A phase is a stretch of load. Requests that were meant to start in its warm-up are not \
         measured; charts show them shaded.",
    ),
    (
        "Timed out, unended",
        "Requests without an answer within the timeout, and those still unanswered when the phase was \
         over. Of both we know only that they took at least that long.",
    ),
    (
        "Design effect",
        "Neighbouring requests resemble each other, so a thousand of them are worth fewer independent \
         ones. Intervals are widened accordingly.",
    ),
    (
        "Doubt",
        "Whatever weakens the measurement: a busy generator, a telemetry gap, a clock that was set. \
         Doubts are part of the record, and those that matter keep a gate from passing.",
    ),
    (
        "Busiest worker",
        "The share of time in which the busiest thread of the generator was not waiting. Above 90 % its \
         latencies are its own and no longer those of the target.",
    ),
    (
        "Send lag",
        "From the moment a request is taken up to its first byte on the network, less the time to \
         connect: what the generator itself adds.",
    ),
    (
        "Lateness",
        "In an open loop, the decision to send minus the intended start: how well the schedule was kept. \
         Response times contain it.",
    ),
    (
        "Little’s law",
        "Requests in flight equal throughput times response time. Checked on every phase as a test of \
         the program's own bookkeeping.",
    ),
    (
        "Known for",
        "The share of the measured window for which a telemetry value was known. Gates need 90 %.",
    ),
];
