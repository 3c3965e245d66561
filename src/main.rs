//! The command line of mailguard.

use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};

/// Mailguard of the Cisco PIX and ASA as a userspace, packet-level SMTP inspector.
#[derive(Debug, Parser)]
#[command(name = "mailguard", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Inspect SMTP between two TUN legs, until SIGINT or SIGTERM.
    Run(mailguard::run::Args),
    /// Speak with a running guard: at a terminal, or by a script on standard input.
    Console(mailguard::console::Args),
    /// Say what is wrong with a configuration, without privileges and without doing it.
    Check(mailguard::check::Args),
    /// Print the reference of all commands of the configuration and the console, in Markdown.
    Reference,
    /// Write the man pages of this program and of its commands into a directory.
    Man(mailguard::pages::ManArgs),
    /// Print what completes the words of this program in a shell.
    Completions(mailguard::pages::CompletionsArgs),
    /// Keep the configuration of a guard: it starts this itself.
    #[command(hide = true)]
    Keep(mailguard::keeper::Args),
    /// List the devices that can be shown, or the knobs of one with their sources.
    Personality(mailguard::personality::Args),
    /// Accept mail, check it, count it and discard it: the server end of the lab and the demo.
    Sink(mailguard::sink::Args),
    /// Send mail as fast as asked and report: the client end of the lab and the benchmarks.
    Load(mailguard::load::Args),
}

/// Prints what clap has to say: help as it is, an error in one line.
fn explain(wrong: &clap::Error) -> ExitCode {
    if !wrong.use_stderr() {
        // A reader that has gone away needs no help.
        let _ = wrong.print();
        return ExitCode::SUCCESS;
    }
    if wrong.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _ = wrong.print();
        return ExitCode::from(2);
    }
    let text = wrong.to_string();
    let told = |line: &&str| !line.starts_with("Usage:") && !line.starts_with("For more");
    let words = text.lines().take_while(told).flat_map(str::split_whitespace);
    let line = words.skip_while(|word| *word == "error:").collect::<Vec<_>>().join(" ");
    let says_the_mend =
        matches!(wrong.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue);
    eprintln!("mailguard: {line}{}", if says_the_mend { "" } else { "; try --help" });
    ExitCode::from(2)
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(wrong) => return explain(&wrong),
    };
    let done = match command {
        Command::Run(args) => mailguard::run::run(args),
        Command::Console(args) => return mailguard::console::run(&args),
        Command::Check(args) => return mailguard::check::run(&args),
        Command::Reference => mailguard::pages::reference(),
        Command::Man(args) => mailguard::pages::man(&args, Cli::command()),
        Command::Completions(args) => mailguard::pages::completions(&args, Cli::command()),
        Command::Keep(args) => mailguard::keeper::run(&args),
        Command::Personality(args) => mailguard::personality::run(&args),
        Command::Sink(args) => mailguard::sink::run(args),
        Command::Load(args) => mailguard::load::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("mailguard: {why}");
            ExitCode::FAILURE
        }
    }
}
