//! Tests of the carriers of requests and answers.

mod codec;
