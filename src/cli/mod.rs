//! The command line: arguments, drawing of diagnostics, exit codes. Everything else is in `commands`.

mod args;
mod calibrate;
mod database;
mod diagnostics;
#[cfg(test)]
mod documented;
mod first_steps;
mod generate;
mod gpu;
mod history;

pub use diagnostics::draw;

use crate::commands::{self, CommandError, Ending, Loaded, Output, RunOptions};
use crate::verdict::CompareOptions;
use args::{Cli, Command};
use clap::Parser as _;
use database::DbCommand;
use std::process::ExitCode;

/// Reads the command line, does what it says, and tells how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output {
        quiet: cli.quiet,
        color: cli.color.into(),
    };
    match execute(cli.command, output) {
        Ok(ending) => ExitCode::from(code(ending)),
        Err(error) => {
            explain(&error, output);
            ExitCode::from(2)
        }
    }
}

/// Every exit code but that of errors.
fn code(ending: Ending) -> u8 {
    match ending {
        Ending::Done | Ending::Pass => 0,
        Ending::Fail => 1,
        Ending::Inconclusive => 3,
        Ending::Interrupted => 130,
        Ending::Refused => 2,
    }
}

fn execute(command: Command, output: Output) -> Result<Ending, CommandError> {
    match command {
        Command::Run(args) => {
            let loaded = args.run.scenario.load()?;
            warn(&loaded, output);
            let mut options = RunOptions::from(&args.run);
            options.database = args.run.database.address()?;
            options.full_screen = args.tui;
            options.baseline = args.baseline.wanted();
            commands::run(&loaded.plan, &options, output)
        }
        Command::Capacity(args) => {
            let loaded = args.run.scenario.load()?;
            warn(&loaded, output);
            commands::capacity(&loaded.plan, &(&args).into(), output)
        }
        Command::Check(args) => {
            let loaded = args.scenario.load()?;
            warn(&loaded, output);
            commands::check(&loaded.plan, output);
            Ok(Ending::Done)
        }
        Command::Report(args) => commands::report(
            &args.results,
            &args.run,
            args.format.into(),
            args.github,
            output,
        ),
        Command::History(args) => commands::history(&args.try_into()?, output),
        Command::Show(args) => commands::show(
            &args.origin.origin()?,
            &args.run,
            args.format.into(),
            output,
        ),
        Command::Regression(args) => commands::regression(&args.try_into()?, output),
        Command::Push(args) => {
            let address = args.database.required()?;
            commands::push(&args.results, &args.what(), &address, output)
        }
        Command::Db(args) => match args.command {
            DbCommand::Migrate(args) => commands::migrate(&args.required()?, output),
            DbCommand::Status(args) => commands::database_status(&args.required()?, output),
        },
        Command::Baseline(args) => {
            let choice = (args.name.as_deref(), &args.reason[..]);
            commands::baseline(&args.results.results, &args.run, choice, output)
        }
        Command::Prune(args) => {
            commands::prune(&args.results.results, args.rules(), args.yes, output)
        }
        Command::Gpu(args) => commands::gpu(&args.options()?, output),
        Command::Compare(args) => {
            let options = CompareOptions {
                margin: args.margin,
                paired: args.paired,
            };
            let runs = (&args.old[..], &args.new[..]);
            commands::compare(
                &args.origin.origin()?,
                runs,
                options,
                args.format.into(),
                output,
            )
        }
        Command::Judge(args) => commands::judge(&args.results, &args.run, &(&args).into(), output),
        Command::Init(args) => commands::init(&args.into(), output),
        Command::Calibrate(args) => commands::calibrate(&args.into(), output),
        Command::NullServer(args) => {
            commands::null_server(args.threads, args.kind.into(), output).map(|()| Ending::Done)
        }
        Command::Doctor(args) => Ok(commands::doctor(&args.results, output)),
        Command::Explain(args) => commands::explain(args.code.as_deref(), output),
        Command::Schema => {
            commands::schema(output);
            Ok(Ending::Done)
        }
        Command::Completions(args) => {
            output.result(&generate::completions(args.shell));
            Ok(Ending::Done)
        }
        Command::Man => {
            let text = generate::man().map_err(|error| {
                CommandError::setup(format!("the man page cannot be made: {error}"), "")
            })?;
            output.result(&text);
            Ok(Ending::Done)
        }
        Command::Docs(args) => {
            commands::page(args.page.into(), output);
            Ok(Ending::Done)
        }
        Command::Agent(args) => commands::agent(&args.options()?, output).map(|()| Ending::Done),
        Command::Serve(args) => commands::serve(&args.into(), output).map(|()| Ending::Done),
    }
}

fn warn(loaded: &Loaded, output: Output) {
    if !loaded.warnings.is_empty() {
        let text = draw(&loaded.source, &loaded.warnings, output.stderr_has_color());
        output.warn(text.trim_end());
    }
}

fn explain(error: &CommandError, output: Output) {
    match error {
        CommandError::Scenario(faults) => {
            let (source, found) = &**faults;
            let text = draw(source, found, output.stderr_has_color());
            output.warn(text.trim_end());
        }
        CommandError::Setup { message, hint } => {
            output.warn(&format!("error: {message}"));
            if !hint.is_empty() {
                output.warn(&format!("hint: {hint}"));
            }
        }
    }
}
