//! `make faults` and `make soak`.

fn main() -> anyhow::Result<std::process::ExitCode> {
    rollcall_faults::cli::run()
}
