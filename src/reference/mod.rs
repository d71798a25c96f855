//! The reference inference API (`bench serve`): a small but real service, with the surface of a GPU
//! inference platform, that knows the truth about itself and can be told to misbehave.

mod backend;
mod books;
mod jobs;
mod metrics;
mod misbehaviour;
mod model;
mod queue;
mod route;
mod text;
mod timer;
mod token;

pub use books::{Delays, ServerTime, StallWindow, TRUTH_SCHEMA, Truth};
pub use model::{Answer, CLASSES, INPUTS, MODEL, PARAMETERS, answer, data_file};
