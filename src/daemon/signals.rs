//! Signals: SIGHUP reloads, SIGINT and SIGTERM end; a second one of these ends at once.

use std::sync::mpsc::Sender;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::Control;

/// As if killed by the signal: the exit code that shells give to an interrupted program.
const INTERRUPTED: i32 = 130;

pub(super) fn listen(runtime: &Runtime, control: Sender<Control>) {
    runtime.spawn(async move {
        let streams = (signal(SignalKind::hangup()), signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
        let (Ok(mut hangup), Ok(mut interrupt), Ok(mut terminate)) = streams else {
            tracing::error!("signals cannot be received: the daemon can only be killed");
            return;
        };
        let mut ending = false;
        loop {
            let what = tokio::select! {
                _ = hangup.recv() => Control::Hangup,
                _ = interrupt.recv() => Control::Terminate,
                _ = terminate.recv() => Control::Terminate,
            };
            if matches!(what, Control::Terminate) {
                if ending {
                    tracing::error!("a second signal: ending at once, what was on its way is lost");
                    std::process::exit(INTERRUPTED);
                }
                ending = true;
            }
            if control.send(what).is_err() {
                return;
            }
        }
    });
}
