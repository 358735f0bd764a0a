//! What can be typed after `siglab lab`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Show the exercises, and the best results so far
    List(Folder),
    /// Set an exercise up: images, signatures, policies, and what is broken on purpose
    Start(Start),
    /// Grade an exercise by what the webhook or the cluster does (exit code 0 done, 1 not yet, 2 unknown)
    Check(Check),
    /// Do an exercise, step by step
    Solve(Solve),
    /// Take an exercise out of the lab; its files are moved aside
    Reset(Work),
    /// Write exercises in the form of another environment
    Export(Export),
}

#[derive(Args, Debug)]
pub(crate) struct Work {
    /// Exercise, by its number [default: the one that is started]
    #[arg(value_name = "N")]
    pub(crate) number: Option<usize>,
    #[command(flatten)]
    pub(crate) place: Folder,
}

#[derive(Args, Debug)]
pub(crate) struct Folder {
    /// Working folder; the webhook reads its folder policies
    #[arg(
        long,
        value_name = "DIR",
        env = "SIGLAB_LAB_DIR",
        default_value = "siglab-lab",
        hide_env_values = true
    )]
    pub(crate) dir: PathBuf,
}

#[derive(Args, Debug)]
pub(crate) struct Start {
    /// Exercise, by its number
    #[arg(value_name = "N")]
    pub(crate) number: usize,
    #[command(flatten)]
    pub(crate) place: Folder,
    /// Folder that the webhook reads [default: policies in the working folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) policies: Option<PathBuf>,
    /// Do it in the cluster of this file; an empty name means without one
    #[arg(
        long,
        value_name = "FILE",
        env = "KUBECONFIG",
        hide_env_values = true,
        conflicts_with = "policies"
    )]
    pub(crate) kubeconfig: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Solve {
    #[command(flatten)]
    pub(crate) work: Work,
    /// Do what looks like a solution and is none, by its name
    #[arg(long, value_name = "NAME", hide = true)]
    pub(crate) wrong: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) work: Work,
    /// Only this task, by its number
    #[arg(long, value_name = "N")]
    pub(crate) task: Option<usize>,
    /// Only this check, by its name
    #[arg(long, value_name = "NAME", conflicts_with = "task")]
    pub(crate) check: Option<String>,
}

/// Another environment.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Form {
    /// A scenario for each exercise
    Killercoda,
    /// One assessment
    CkX,
}

#[derive(Args, Debug)]
pub(crate) struct Export {
    /// Exercises, by their numbers [default: all]
    #[arg(value_name = "N")]
    pub(crate) numbers: Vec<usize>,
    /// Which form
    #[arg(long, value_enum)]
    pub(crate) format: Form,
    /// Folder to write into
    #[arg(short, long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    /// Put this program into the scenarios, for machines that have no siglab
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
}
