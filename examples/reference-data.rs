//! Prints the data file of the reference model: `scenarios/data/inputs.jsonl`.
#![expect(clippy::print_stdout, reason = "the data is the output")]

fn main() {
    print!("{}", bench::reference::data_file());
}
