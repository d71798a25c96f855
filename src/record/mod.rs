//! What is recorded: counts by worker and second, telemetry, doubts, the journal that holds them and
//! the run record that is folded from it.
//!
//! Values only: the engine fills them, `store` writes and reads them.

mod achieved;
mod buckets;
mod calibration;
mod capacity;
mod doubt;
mod environment;
mod figures;
mod floor;
mod health;
mod instrument;
mod journal;
mod latencies;
mod load;
mod login;
mod outcome;
mod over;
mod packed;
mod phase;
mod run;
mod series;
mod steadiness;
mod steps;
mod streams;
mod suite;
mod tally;
mod tries;
mod tune;

pub use achieved::{Achieved, BUSY_SERIES, OPERATIONS_SERIES};
pub use calibration::{
    CALIBRATION_SCHEMA, Calibration, CalibrationStep, EVENTS_PER_SECOND, KindCalibration, Machine,
    NEAR_CEILING, Program, TrafficKind,
};
pub use capacity::{CAPACITY_SCHEMA, Capacity, CapacityStep, LoadUnit, StepLatency};
pub use doubt::{
    BUSY_LIMIT, BUSY_NOTICE, Doubt, LAG_LIMIT_NS, LAG_SHARE, LocalResource, SteadySeries,
};
pub use environment::{Ceiling, Environment, Gpu, ServiceCompute};
pub use figures::{Baseline, Difference, PhaseFigures, RunFigures, differences};
pub use floor::{Floor, FloorError, Least};
pub use health::{HEALTH_COUNTERS, Health, HealthCounter, HealthRule, PcieLink, Xid};
pub use instrument::{Instrument, generator_metric};
pub use journal::{
    Entry, Header, JOURNAL_VERSION, PartIndex, PhaseInfo, ProtocolInfo, RequestInfo, ScenarioInfo,
    StepInfo, TargetInfo, find_part,
};
pub use latencies::{Above, Distribution, LONGEST_NS, Latencies};
pub use load::{ArrivalInfo, LoadInfo};
pub use login::LoginRecord;
pub use outcome::{Cause, Class, Outcome, Outcomes};
pub use over::Over;
pub use packed::PackedLatencies;
pub use phase::{INTERVAL_NS, PhaseInterval, PhaseRecord, per_second};
pub use run::{FoldError, RunRecord};
pub use series::{Samples, Series, SeriesInfo, Source, SourceInfo, SourceState, Window};
pub use steps::{ReceiveStamps, StepTimes, Steps};
pub use streams::{StreamTally, Streamed};
pub use suite::{
    Measured, Moment, Peak, PeerPair, SUITE_SCHEMA, Stopped, SuiteCriteria, SuiteGpu, SuiteRecord,
    TestOutcome, TestResult,
};
pub use tally::{
    Connections, Counts, ErrorKey, ErrorTally, Errors, Failure, Interval, Population, RequestTally,
    Sample,
};
pub use tries::TryTally;
pub use tune::{TunePoint, TuneSeries};
