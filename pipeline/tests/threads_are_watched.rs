//! The supervisor: names, panics, and threads that do not end.

use std::sync::Arc;
use std::time::Duration;

use rollcall_pipeline::{Activity, ErrorClass, Exit, Fault, ManualClock, Progress, Supervisor};

const PATIENCE: Duration = Duration::from_secs(20);

fn supervisor() -> (Arc<ManualClock>, Supervisor) {
    let clock = Arc::new(ManualClock::default());
    (Arc::clone(&clock), Supervisor::new(clock))
}

#[test]
fn a_panic_is_recorded_and_the_process_goes_on() {
    let (_, supervisor) = supervisor();
    let worker = supervisor.spawn("door-1", |_| panic!("a panic that the test wants: {}", 7)).unwrap();
    assert!(matches!(worker.join(), Exit::Panic(m) if m == "a panic that the test wants: 7"));
    assert!(supervisor.threads().is_empty(), "who was joined is forgotten");
}

#[test]
fn a_fault_is_recorded() {
    let (_, supervisor) = supervisor();
    let worker = supervisor.spawn("door-1", |_| Err(Fault::new(ErrorClass::Permanent, "no such host"))).unwrap();
    assert!(matches!(worker.join(), Exit::Fault(f) if f.message == "no such host"));
}

#[test]
fn a_thread_bears_its_name_and_shows_what_it_does() {
    let (clock, supervisor) = supervisor();
    let (tell, told) = crossbeam_channel::bounded(0);
    let (go, wait) = crossbeam_channel::bounded::<()>(0);
    let worker = supervisor
        .spawn("door-1", move |progress| {
            progress.busy();
            tell.send(std::thread::current().name().map(ToOwned::to_owned)).unwrap();
            wait.recv().unwrap();
            Ok(())
        })
        .unwrap();
    assert_eq!(told.recv_timeout(PATIENCE).unwrap().as_deref(), Some("door-1"));
    clock.advance(Duration::from_secs(7));
    let health = worker.health().unwrap();
    assert_eq!((&*health.name, health.activity, health.since), ("door-1", Activity::Busy, Duration::from_secs(7)));
    let worker = worker.join_within(Duration::ZERO).unwrap_err();
    assert_eq!(supervisor.join_all(Duration::ZERO), Err(vec!["door-1".into()]));
    go.send(()).unwrap();
    assert!(matches!(worker.join(), Exit::Done));
    assert_eq!(supervisor.join_all(PATIENCE), Ok(()));
}

#[test]
fn a_thread_that_nobody_holds_is_forgotten_when_it_ends() {
    let (_, supervisor) = supervisor();
    let (go, wait) = crossbeam_channel::bounded::<()>(0);
    let waits = move |_: &Progress| {
        wait.recv().unwrap();
        Ok(())
    };
    drop(supervisor.spawn("door-1", waits).unwrap());
    assert_eq!(supervisor.threads().len(), 1, "it is still watched");
    go.send(()).unwrap();
    assert_eq!(supervisor.join_all(PATIENCE), Ok(()));
    assert!(supervisor.threads().is_empty());
}
