//! Every chart of a run, made once for all views that show them.

use super::lanes::Family;
use super::{Chart, TimeFrame, Timeline, distribution, lanes, load};
use crate::record::RunRecord;
use crate::verdict::Judgement;
use std::panic::resume_unwind;

/// Every chart of a run.
#[derive(Clone, Debug)]
pub struct Charts {
    /// The load over time: rate, response times, heat map, requests in flight, errors if there were any.
    pub(crate) time: Vec<Chart>,
    /// Every percentile.
    pub(crate) percentiles: Chart,
    /// Every percentile of each request, flow and step, where a phase has several.
    pub(crate) parts: Vec<Chart>,
    /// The lanes of telemetry.
    pub(crate) families: Vec<Family>,
}

impl Charts {
    /// The charts of a run: telemetry, which may be millions of samples, beside the load.
    pub fn of(record: &RunRecord, judgement: &Judgement, timeline: &Timeline) -> Self {
        let frame = TimeFrame::of(record);
        std::thread::scope(|scope| {
            let families = scope.spawn(|| lanes::families(record, judgement, &frame, timeline));
            let mut time = vec![
                load::rate(record, judgement, &frame, timeline),
                load::response(record, judgement, &frame, timeline),
                distribution::heat_map(&frame, timeline),
                load::in_flight(record, &frame, timeline),
            ];
            time.extend(load::errors(&frame, timeline));
            Self {
                time,
                percentiles: distribution::percentiles(record, judgement),
                parts: distribution::parts(record, judgement),
                families: families.join().unwrap_or_else(|panic| resume_unwind(panic)),
            }
        })
    }

    /// Percentiles of the response time over time.
    pub(crate) fn response(&self) -> &Chart {
        &self.time[1]
    }
}
