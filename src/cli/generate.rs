//! Shell completions and the man page, made from the arguments themselves.

use super::args::Cli;
use clap::CommandFactory as _;
use clap_complete::Shell;

/// The completions for a shell.
pub(super) fn completions(shell: Shell) -> String {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "bench", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

/// The man page, subcommands included, in the format of `man`.
///
/// # Errors
/// When it cannot be written to memory, which does not happen.
pub(super) fn man() -> std::io::Result<String> {
    let mut command = Cli::command();
    command.build();
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut text)?;
    let subcommands: Vec<clap::Command> = command
        .get_subcommands()
        .filter(|command| !command.is_hide_set() && command.get_name() != "help")
        .cloned()
        .collect();
    for subcommand in subcommands {
        let name = subcommand.get_name().to_owned();
        text.extend_from_slice(format!(".SH \"BENCH {}\"\n", name.to_uppercase()).as_bytes());
        let page = clap_mangen::Man::new(subcommand);
        page.render_description_section(&mut text)?;
        page.render_options_section(&mut text)?;
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
