//! How the reference API is set up and told to misbehave: the same options in a scenario's
//! `[target.reference]` and on the command line of `bench serve`.

use crate::units;
use std::fmt;
use std::time::Duration;

/// Options of the reference API. The default is a healthy service.
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceOptions {
    /// What computes the model.
    pub backend: BackendChoice,
    /// Which GPUs compute it.
    pub gpus: GpuChoice,
    /// What its weights and what passes between its layers are on a GPU.
    pub precision: Precision,
    /// Units of a hidden layer on a GPU; `None` for as many as keep all of it busy.
    pub model_width: Option<usize>,
    /// Hidden layers beyond the model's own on a GPU; `None` for as many as a batch of `step_time` takes.
    pub model_layers: Option<usize>,
    /// Seed of everything that the server draws at random.
    pub seed: u64,
    /// The largest batch the backend takes, in items.
    pub max_batch: usize,
    /// How long the first item of a batch waits for others.
    pub max_wait: Duration,
    /// The least time that one batch occupies the backend. An accelerator takes about the same time
    /// for a batch of any size; the CPU backend computes its small model and then waits until this
    /// time is over, which also leaves the CPU to a generator on the same machine. On a GPU it is how long
    /// a full batch is to take: the model is made as deep as that.
    pub step_time: Duration,
    /// Extra delay of every inference answer.
    pub delay: Delay,
    /// One freeze of the whole server.
    pub stall: Option<Stall>,
    /// Share of inference requests that are answered with 500.
    pub error_rate: f64,
    /// Share of logins that are refused.
    pub reject_logins: f64,
    /// Bytes that each inference request leaves behind, never to be freed.
    pub leak_per_request: u64,
    /// After how many bytes it leaves nothing more behind, like a cache that is full; `None` for never.
    pub leak_limit: Option<u64>,
    /// Whether `/v1/…` demands a token from `/auth/token`.
    pub require_auth: bool,
    /// How long a token is valid, in whole seconds.
    pub token_lifetime: Duration,
    /// How the number of its workers follows the queue; `None` for one worker.
    pub scaling: Option<Scaling>,
}

impl Default for ReferenceOptions {
    fn default() -> Self {
        Self {
            backend: BackendChoice::default(),
            gpus: GpuChoice::default(),
            precision: Precision::default(),
            model_width: None,
            model_layers: None,
            seed: 1,
            max_batch: 128,
            max_wait: Duration::from_millis(2),
            step_time: Duration::from_millis(8),
            delay: Delay::default(),
            stall: None,
            error_rate: 0.0,
            reject_logins: 0.0,
            leak_per_request: 0,
            leak_limit: None,
            require_auth: false,
            token_lifetime: Duration::from_hours(1),
            scaling: None,
        }
    }
}

/// What computes the reference model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BackendChoice {
    /// A GPU if there is one that can, else the CPU, and it is said why.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// A GPU, or nothing.
    Cuda,
}

impl BackendChoice {
    /// The widest model on a GPU, in units of a hidden layer.
    pub const WIDEST: usize = 65_536;
    /// The most further hidden layers on a GPU.
    pub const DEEPEST: usize = 4096;

    /// Reads `auto`, `cpu` or `cuda`.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            _ => Err(format!("`{text}` is not `auto`, `cpu` or `cuda`")),
        }
    }
}

impl fmt::Display for BackendChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        })
    }
}

/// Which of the GPUs that CUDA shows compute the reference model. Each has all of it, and takes batches from
/// the one queue as it gets free.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum GpuChoice {
    /// The first.
    #[default]
    First,
    /// All of them.
    All,
    /// These: each by CUDA's number, the beginning of its UUID, or its address on the PCI bus.
    These(Vec<String>),
}

impl GpuChoice {
    /// Reads `first`, `all`, or a list such as `0,GPU-6f2c,0000:3b:00.0`.
    ///
    /// # Errors
    /// When a word of it can name no GPU.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "first" => return Ok(Self::First),
            "all" => return Ok(Self::All),
            _ => {}
        }
        let words: Vec<&str> = text.split(',').map(str::trim).collect();
        for word in &words {
            let is_number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
            let is_uuid = word.starts_with("GPU-") && word.len() >= 8;
            let is_address = word.contains(':') && word.contains('.');
            if !is_number && !is_uuid && !is_address {
                return Err(format!(
                    "`{word}` names no GPU: write `first`, `all`, or CUDA's number, a UUID (`GPU-…`, at least four \
                     digits of it) or a PCI address (`0000:3b:00.0`), several with commas"
                ));
            }
        }
        Ok(Self::These(words.into_iter().map(str::to_owned).collect()))
    }
}

impl fmt::Display for GpuChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("first"),
            Self::All => f.write_str("all"),
            Self::These(words) => f.write_str(&words.join(",")),
        }
    }
}

/// A type of 16 bits that tensor cores take; sums have 32 bits with both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// IEEE 754 binary16: 11 significant bits, up to 65 504.
    #[default]
    F16,
    /// BF16: 8 significant bits, the range of a float.
    Bf16,
}

impl Precision {
    /// Reads `f16` or `bf16`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "f16" => Ok(Self::F16),
            "bf16" => Ok(Self::Bf16),
            _ => Err(format!("`{text}` is not `f16` or `bf16`")),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        })
    }
}

/// A discrete distribution of delays; empty for none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delay {
    /// Share and length of each; the shares add up to one.
    pub mix: Vec<(f64, Duration)>,
}

impl Delay {
    /// Reads `5ms` or `90% 5ms, 9% 20ms, 1% 80ms`.
    ///
    /// # Errors
    /// When a part is malformed or the shares do not add up to 100 %.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.contains('%') {
            let delay = units::parse_duration(text).map_err(|error| error.to_string())?;
            return Ok(Self {
                mix: vec![(1.0, delay)],
            });
        }
        let mut mix = Vec::new();
        for part in text.split(',') {
            let part = part.trim();
            let (share, delay) = part.split_once(' ').ok_or_else(|| {
                format!("`{part}` is not a share and a duration such as `90% 5ms`")
            })?;
            let share = units::parse_ratio(share).map_err(|error| error.to_string())?;
            let delay = units::parse_duration(delay).map_err(|error| error.to_string())?;
            mix.push((share, delay));
        }
        let sum: f64 = mix.iter().map(|(share, _)| share).sum();
        if (sum - 1.0).abs() > 1e-9 {
            return Err(format!("the shares add up to {}", units::percent(sum)));
        }
        Ok(Self { mix })
    }

    /// The delay at a uniform draw from [0, 1).
    pub fn at(&self, draw: f64) -> Duration {
        let mut sum = 0.0;
        for &(share, delay) in &self.mix {
            sum += share;
            if draw < sum {
                return delay;
            }
        }
        self.mix.last().map_or(Duration::ZERO, |&(_, delay)| delay)
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = match self.mix.as_slice() {
            [] => vec!["0ms".to_owned()],
            [(_, delay)] => vec![plain(*delay)],
            mix => mix
                .iter()
                .map(|(share, delay)| format!("{}% {}", share * 100.0, plain(*delay)))
                .collect(),
        };
        f.write_str(&parts.join(", "))
    }
}

/// One freeze: the server answers nothing from `at` (after its start) for `length`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// When it begins, from the first inference request on.
    pub at: Duration,
    /// How long it lasts.
    pub length: Duration,
}

impl Stall {
    /// Reads `1s at 10s`.
    ///
    /// # Errors
    /// When the text has another form.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (length, at) = text
            .split_once(" at ")
            .ok_or_else(|| format!("`{text}` is not a length and a time such as `1s at 10s`"))?;
        Ok(Self {
            length: units::parse_duration(length).map_err(|error| error.to_string())?,
            at: units::parse_duration(at).map_err(|error| error.to_string())?,
        })
    }
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", plain(self.length), plain(self.at))
    }
}

/// How the number of workers follows the length of the queue, as an autoscaler of pods would do it:
/// `queue ÷ target`, rounded up, is what is wanted; a new worker is ready after `start`; workers go only
/// when fewer have been wanted for the whole of `cooldown`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaling {
    /// The fewest workers.
    pub min: u32,
    /// The most workers.
    pub max: u32,
    /// Items in the queue for each worker.
    pub target: u32,
    /// From the decision to a worker that is ready.
    pub start: Duration,
    /// How long fewer must have been wanted before workers go.
    pub cooldown: Duration,
}

impl Scaling {
    /// Reads `1 to 4 at 20 queued, start 2s, cooldown 5s`.
    ///
    /// # Errors
    /// When the text has another form, or the numbers make no sense.
    pub fn parse(text: &str) -> Result<Self, String> {
        let malformed =
            || format!("`{text}` is not of the form `1 to 4 at 20 queued, start 2s, cooldown 5s`");
        let mut parts = text.split(',').map(str::trim);
        let words: Vec<&str> = parts
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let [min, "to", max, "at", target, "queued"] = words[..] else {
            return Err(malformed());
        };
        let number = |text: &str| text.parse::<u32>().map_err(|_| malformed());
        let mut scaling = Self {
            min: number(min)?,
            max: number(max)?,
            target: number(target)?,
            start: Duration::ZERO,
            cooldown: Duration::ZERO,
        };
        for part in parts {
            let (key, value) = part.split_once(' ').ok_or_else(malformed)?;
            let value = units::parse_duration(value).map_err(|error| error.to_string())?;
            match key {
                "start" => scaling.start = value,
                "cooldown" => scaling.cooldown = value,
                _ => return Err(malformed()),
            }
        }
        if scaling.min == 0 || scaling.max < scaling.min || scaling.max > 64 || scaling.target == 0
        {
            return Err(format!(
                "`{text}`: there are 1 to 64 workers, the fewest first, and at least 1 item for each"
            ));
        }
        Ok(scaling)
    }
}

impl fmt::Display for Scaling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            min, max, target, ..
        } = self;
        write!(
            f,
            "{min} to {max} at {target} queued, start {}, cooldown {}",
            plain(self.start),
            plain(self.cooldown)
        )
    }
}

/// A duration as the parsers read it.
fn plain(duration: Duration) -> String {
    format!("{}us", duration.as_micros())
}

impl ReferenceOptions {
    /// The command-line flags of `bench serve` that set these options up.
    pub fn to_args(&self) -> Vec<String> {
        let mut args = vec![
            format!("--backend={}", self.backend),
            format!("--gpu={}", self.gpus),
            format!("--precision={}", self.precision),
            format!("--seed={}", self.seed),
            format!("--max-batch={}", self.max_batch),
            format!("--max-wait={}", plain(self.max_wait)),
            format!("--step-time={}", plain(self.step_time)),
            format!("--error-rate={}%", self.error_rate * 100.0),
            format!("--reject-logins={}%", self.reject_logins * 100.0),
            format!("--leak-per-request={}B", self.leak_per_request),
            format!("--token-lifetime={}s", self.token_lifetime.as_secs()),
        ];
        if let Some(width) = self.model_width {
            args.push(format!("--model-width={width}"));
        }
        if let Some(layers) = self.model_layers {
            args.push(format!("--model-layers={layers}"));
        }
        if !self.delay.mix.is_empty() {
            args.push(format!("--delay={}", self.delay));
        }
        if let Some(stall) = self.stall {
            args.push(format!("--stall={stall}"));
        }
        if let Some(limit) = self.leak_limit {
            args.push(format!("--leak-limit={limit}B"));
        }
        if let Some(scaling) = self.scaling {
            args.push(format!("--scaling={scaling}"));
        }
        if self.require_auth {
            args.push("--require-auth".to_owned());
        }
        args
    }

    /// How the server has been told to misbehave, for reports.
    pub fn describe_misbehaviour(&self) -> String {
        let mut parts = Vec::new();
        if !self.delay.mix.is_empty() {
            let mix: Vec<String> = self
                .delay
                .mix
                .iter()
                .map(|(share, delay)| {
                    format!("{} by {}", units::percent(*share), units::duration(*delay))
                })
                .collect();
            parts.push(format!("answers delayed ({})", mix.join(", ")));
        }
        if let Some(stall) = self.stall {
            parts.push(format!(
                "frozen for {} after {}",
                units::duration(stall.length),
                units::duration(stall.at)
            ));
        }
        if self.error_rate > 0.0 {
            parts.push(format!(
                "{} of answers fail",
                units::percent(self.error_rate)
            ));
        }
        if self.reject_logins > 0.0 {
            let share = units::percent(self.reject_logins);
            parts.push(format!("{share} of logins refused"));
        }
        if self.leak_per_request > 0 {
            let leak = units::bytes(self.leak_per_request as f64);
            parts.push(match self.leak_limit {
                None => format!("{leak} leaked per request"),
                Some(limit) => format!(
                    "a cache of {} fills by {leak} per request",
                    units::bytes(limit as f64)
                ),
            });
        }
        parts.join("; ")
    }

    /// Whether the server has been told to misbehave.
    pub fn misbehaves(&self) -> bool {
        !self.delay.mix.is_empty()
            || self.stall.is_some()
            || self.error_rate > 0.0
            || self.reject_logins > 0.0
            || self.leak_per_request > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_read_and_print_alike() {
        let mixed = Delay::parse("90% 5ms, 9% 20ms, 1% 80ms").unwrap();
        assert_eq!(mixed.mix.len(), 3);
        assert_eq!(Delay::parse(&mixed.to_string()).unwrap(), mixed);
        assert_eq!(mixed.at(0.0), Duration::from_millis(5));
        assert_eq!(mixed.at(0.95), Duration::from_millis(20));
        assert_eq!(mixed.at(0.999), Duration::from_millis(80));
        let fixed = Delay::parse("5ms").unwrap();
        assert_eq!(Delay::parse(&fixed.to_string()).unwrap(), fixed);
        assert_eq!(Delay::default().at(0.3), Duration::ZERO);
        for (text, part) in [
            ("90% 5ms", "add up to 90"),
            ("90%5ms, 10% 1ms", "is not a share"),
            ("fast", "does not begin"),
        ] {
            let error = Delay::parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn scaling_reads_and_prints_alike() {
        let scaling = Scaling::parse("1 to 4 at 20 queued, start 2s, cooldown 5s").unwrap();
        assert_eq!((scaling.min, scaling.max, scaling.target), (1, 4, 20));
        assert_eq!(Scaling::parse(&scaling.to_string()).unwrap(), scaling);
        assert_eq!(
            Scaling::parse("2 to 2 at 1 queued").unwrap().start,
            Duration::ZERO
        );
        for (text, part) in [
            ("4", "not of the form"),
            ("1 to 4 at 20 queued, begin 2s", "not of the form"),
            ("4 to 1 at 20 queued", "the fewest first"),
            ("0 to 1 at 20 queued", "1 to 64"),
            ("1 to 4 at 20 queued, start soon", "does not begin"),
        ] {
            let error = Scaling::parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn gpus_read_and_print_alike() {
        for text in ["first", "all", "0", "1,3", "GPU-6f2c,0000:3b:00.0"] {
            assert_eq!(GpuChoice::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "0,", "gpu0", "GPU-", "-1", "0;1"] {
            let error = GpuChoice::parse(text).expect_err(text);
            assert!(error.contains("names no GPU"), "{text}: {error}");
        }
    }

    #[test]
    fn stalls_read_and_print_alike() {
        let stall = Stall::parse("1s at 10s").unwrap();
        assert_eq!(Stall::parse(&stall.to_string()).unwrap(), stall);
        assert!(Stall::parse("1s").is_err());
    }
}
