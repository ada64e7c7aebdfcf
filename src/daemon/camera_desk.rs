//! The cameras as the API sees them, and those of the database followed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use rollcall_control_api::ports::cameras as port;
use rollcall_control_api::ports::cameras::{
    CameraProbe, CameraStatus, CameraTrouble, DeviceStreams, FoundDevice, NoPicture, OfferedStream, Overlay, Picture,
    Pictures, StreamsAsk,
};
use rollcall_control_api::ports::faces::Later;
use rollcall_discovery::{Credentials, GROUP, Search, StreamOffer, StreamsError, discover, stream_uris};
use rollcall_pipeline::config::{CameraConfig, Config, Problem, Secret};
use rollcall_pipeline::{CameraId, Clock, RoomId, TimeSource};
use rollcall_stages::decode::{CameraSnapshot, CameraState, Masks, Probe, ProbeLimits, probe};
use rollcall_stages::preview::{self, PreviewError, PreviewHub, Watch};
use rollcall_store::{Store, StoreError, StoredCamera};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use url::Url;

use super::Control;
use super::cameras::{Cameras, Stored};

const RETRY: Duration = Duration::from_secs(1);
/// Without news for so long it is looked anyway: a connection that a firewall dropped tells nothing for ever.
const ASK_AFTER: Duration = Duration::from_secs(45);
/// How often is looked whether a camera is different, for live views.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How long a device may take to say where its streams are.
const STREAMS_WITHIN: Duration = Duration::from_secs(10);
/// Looks at cameras at the same time: each decodes, beside those that are analysed.
const PROBES: usize = 2;

/// The cameras, and what it takes to check others.
pub(super) struct CameraDesk {
    cameras: Arc<Mutex<Cameras>>,
    /// What the daemon was started with: what cameras have to go with is in force from then on.
    config: Config,
    preview: PreviewHub,
    probes: Arc<Semaphore>,
    searches: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
}

impl CameraDesk {
    pub(super) fn new(
        cameras: Arc<Mutex<Cameras>>,
        config: Config,
        preview: PreviewHub,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (probes, searches) = (Arc::new(Semaphore::new(PROBES)), Arc::new(Semaphore::new(1)));
        Self { cameras, config, preview, probes, searches, clock }
    }

    /// Shows nothing to anybody any more.
    pub(super) fn stop(&self) {
        self.preview.close();
    }

    /// Loads the cameras of the database, and again whenever they changed; for ever. Without the database they stay as they
    /// were.
    pub(super) async fn follow(self: Arc<Self>, store: Store, control: Sender<Control>) {
        store.until_prepared().await;
        loop {
            let Err(error) = self.follow_while_connected(&store, &control).await;
            // Whoever follows the gallery tells that the database is away.
            tracing::debug!(%error, "the cameras of the database cannot be followed; trying on");
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn follow_while_connected(&self, store: &Store, control: &Sender<Control>) -> Result<Infallible, StoreError> {
        // Listen first: what changes after that is told.
        let mut changes = store.place_changes().await?;
        self.load(store, control).await?;
        loop {
            if let Ok(told) = tokio::time::timeout(ASK_AFTER, changes.changed()).await {
                told?;
                self.load(store, control).await?;
            } else if self.load(store, control).await? {
                // It changed and nobody told: the connection that listens is dead.
                changes = store.place_changes().await?;
            }
        }
    }

    /// Whether anything was different.
    async fn load(&self, store: &Store, control: &Sender<Control>) -> Result<bool, StoreError> {
        let stored = store.cameras_to_open().await?;
        let stored = stored.into_iter().map(|stored| self.read(stored)).collect();
        let news = self.cameras.lock().follow(stored);
        if news {
            // Nobody listens any more when the daemon ends.
            drop(control.send(Control::Cameras));
        }
        Ok(news)
    }

    fn read(&self, StoredCamera { camera, credentials }: StoredCamera) -> Stored {
        let checked = credentials.map_err(|error| format!("its user and password cannot be read: {error}"));
        let checked = checked.and_then(|credentials| {
            let camera = self.config.camera(&camera.id, &camera.room_id, camera.settings, credentials);
            camera.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        });
        Stored { id: CameraId::new(camera.id), room: RoomId::new(camera.room_id), config: checked }
    }

    /// Tells live views how cameras are, whenever that is different; for ever.
    pub(super) async fn tell(self: Arc<Self>, store: Store) {
        let mut told: HashMap<CameraId, (bool, Option<String>)> = HashMap::new();
        loop {
            tokio::time::sleep(TELL_EVERY).await;
            if !store.is_prepared() {
                continue;
            }
            let now = self.cameras.lock().snapshots();
            told.retain(|id, _| now.iter().any(|(config, _)| config.id == *id));
            for (config, snapshot) in now {
                let status = self.status_of(&snapshot);
                // A camera that is away is tried again and again: that is no news while the reason is the same.
                let short = (snapshot.state == CameraState::Live, status.reason.clone());
                if told.get(&config.id) == Some(&short) {
                    continue;
                }
                let payload = payload(&config.id, &config.tuning.room, &status);
                if store.tell_camera(config.tuning.room.as_str(), payload).await.is_ok() {
                    told.insert(config.id, short);
                }
            }
        }
    }

    fn status_of(&self, now: &CameraSnapshot) -> CameraStatus {
        let known = !now.info.codec.is_empty() || now.info.width > 0;
        let mono = self.clock.mono();
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        CameraStatus {
            state: now.state.as_str().to_owned(),
            reason: now.complaint().map(str::to_owned),
            codec: known.then(|| now.info.codec.clone()),
            width: known.then_some(now.info.width),
            height: known.then_some(now.info.height),
            fps: (now.state == CameraState::Live).then_some(now.fps),
            frame_age_ms: now.frame_age(mono).map(millis),
            dozing: now.dozing,
            frames: now.decoded,
            reconnects: now.disconnects,
            retry_in_ms: now.retry_at.map(|at| millis(at.since(mono))),
            time_source: now.time_source.map(TimeSource::as_str),
            clock_skew_ms: now.clock_skew_ms,
            last_error: now.last_error.as_ref().map(|error| CameraTrouble {
                at: error.at,
                kind: error.reason,
                text: error.text.clone(),
            }),
        }
    }
}

fn payload(camera: &CameraId, room: &RoomId, status: &CameraStatus) -> Value {
    json!({
        "camera": camera.as_str(), "room_id": room.as_str(), "state": status.state, "reason": status.reason,
        "codec": status.codec, "width": status.width, "height": status.height,
    })
}

impl port::Cameras for CameraDesk {
    fn of_file(&self) -> Vec<CameraConfig> {
        self.cameras.lock().of_file().to_vec()
    }

    fn status(&self, id: &CameraId) -> Option<CameraStatus> {
        let cameras = self.cameras.lock();
        let refused = || cameras.refusal(id).map(|why| CameraStatus::of("refused", Some(why.to_owned())));
        cameras.snapshot(id).map(|now| self.status_of(&now)).or_else(refused)
    }

    fn check(
        &self,
        id: &str,
        room: &str,
        settings: Value,
        credentials: Option<(String, Secret)>,
    ) -> Result<CameraConfig, Vec<Problem>> {
        self.config.camera(id, room, settings, credentials)
    }

    fn room_for(&self, beside_the_file: usize) -> Result<(), String> {
        self.config.lane.room_for(self.cameras.lock().of_file().len() + beside_the_file)
    }

    fn probe(&self, camera: CameraConfig) -> Later<'_, Result<CameraProbe, NoPicture>> {
        let clock = Arc::clone(&self.clock);
        Box::pin(blocking(&self.probes, "two cameras are being looked at already", move |stopped| {
            let source = &camera.streams.detect;
            let stopped = || stopped.load(Ordering::Relaxed);
            match probe(source, camera.mounting, ProbeLimits::default(), &clock, &stopped) {
                Ok(seen) => shown(&camera, seen),
                Err(why) => Ok(CameraProbe {
                    reason: Some(why.explain(&camera.id)),
                    kind: Some(why.as_str()),
                    ..CameraProbe::default()
                }),
            }
        }))
    }

    fn watch(&self, id: &CameraId, fps: f32, overlay: Overlay) -> Result<Box<dyn Pictures>, NoPicture> {
        let overlay = match overlay {
            Overlay::None => preview::Overlay::None,
            Overlay::Boxes => preview::Overlay::Boxes,
            Overlay::Names => preview::Overlay::Names,
        };
        let watch = self.preview.watch(id, fps, overlay).map_err(no_picture)?;
        self.cameras.lock().rouse(id);
        Ok(Box::new(Viewer(watch)))
    }

    fn discover(&self, time: Duration, at: Option<Ipv4Addr>) -> Later<'_, Result<Vec<FoundDevice>, NoPicture>> {
        let clock = Arc::clone(&self.clock);
        Box::pin(blocking(&self.searches, "somebody searches already", move |stopped| {
            let search = match at {
                // From wherever the way to it begins.
                Some(address) => Search {
                    interfaces: vec![Ipv4Addr::UNSPECIFIED],
                    time,
                    to: SocketAddrV4::new(address, GROUP.port()),
                },
                None => Search { time, ..Search::default() },
            };
            let found = discover(&search, &*clock, &|| stopped.load(Ordering::Relaxed));
            let devices = found.map_err(|error| NoPicture::Unavailable(error.to_string()))?;
            Ok(devices.into_iter().map(device).collect())
        }))
    }

    fn streams_of(&self, ask: StreamsAsk) -> Later<'_, Result<DeviceStreams, NoPicture>> {
        let clock = Arc::clone(&self.clock);
        Box::pin(blocking(&self.probes, "two cameras are being looked at already", move |_| {
            let credentials = ask.credentials.map(|(username, password)| Credentials { username, password });
            let asked = Url::parse(&ask.address)
                .map_err(|_| StreamsError::Address)
                .and_then(|address| stream_uris(&address, credentials.as_ref(), STREAMS_WITHIN, &*clock));
            Ok(match asked {
                Ok(offers) => DeviceStreams {
                    ok: true,
                    streams: offers.into_iter().map(offered).collect(),
                    ..DeviceStreams::default()
                },
                Err(why) => DeviceStreams {
                    reason: Some(why.to_string()),
                    kind: Some(why.as_str()),
                    ..DeviceStreams::default()
                },
            })
        }))
    }
}

fn offered(offer: StreamOffer) -> OfferedStream {
    let StreamOffer { profile, name, codec, width, height, url } = offer;
    OfferedStream { profile, name, codec, width, height, address: url.to_string() }
}

/// Does what blocks on a thread for that, if there is a seat. It is called off when nobody waits any more.
async fn blocking<T: Send + 'static>(
    seats: &Arc<Semaphore>,
    busy: &str,
    work: impl FnOnce(&AtomicBool) -> Result<T, NoPicture> + Send + 'static,
) -> Result<T, NoPicture> {
    let seat = Arc::clone(seats).try_acquire_owned();
    let seat = seat.map_err(|_| NoPicture::Busy(format!("{busy}: try again in a moment")))?;
    let waited_for = Waited::default();
    let stopped = Arc::clone(&waited_for.0);
    let done = tokio::task::spawn_blocking(move || {
        let outcome = work(&stopped);
        drop(seat);
        outcome
    });
    done.await.unwrap_or_else(|error| Err(NoPicture::Failed(error.to_string())))
}

/// Says so when it is dropped.
#[derive(Default)]
struct Waited(Arc<AtomicBool>);

impl Drop for Waited {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn shown(camera: &CameraConfig, seen: Probe) -> Result<CameraProbe, NoPicture> {
    let image = seen.first_frame;
    let masks = Masks::new(&camera.tuning.privacy_masks, image.width(), image.height());
    let image = masks.map(|masks| masks.paint(&image.view())).unwrap_or(image);
    let jpeg = preview::jpeg(&image).map_err(|fault| NoPicture::Failed(fault.to_string()))?;
    Ok(CameraProbe {
        ok: true,
        reason: seen.ended.as_ref().map(|why| why.explain(&camera.id)),
        kind: seen.ended.as_ref().map(|why| why.as_str()),
        codec: Some(seen.info.codec).filter(|codec| !codec.is_empty()),
        decoder: Some(seen.info.decoder).filter(|decoder| !decoder.is_empty()),
        width: Some(seen.info.width),
        height: Some(seen.info.height),
        fps: seen.fps,
        time_source: Some(seen.time_source.as_str()),
        clock_skew_ms: seen.clock_skew_ms,
        over_udp: seen.over_udp,
        jpeg: Some(STANDARD.encode(jpeg)),
    })
}

/// Somebody who watches.
struct Viewer(Watch);

impl Pictures for Viewer {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Picture, NoPicture>> {
        let picture = self.0.poll_next(context);
        picture.map(|p| p.map(|p| Picture { jpeg: p.jpeg, captured: p.captured }).map_err(no_picture))
    }
}

fn no_picture(error: PreviewError) -> NoPicture {
    match error {
        PreviewError::TooMany(..) => NoPicture::Busy(error.to_string()),
        PreviewError::Late(_) => NoPicture::Unavailable(error.to_string()),
        PreviewError::Ended => NoPicture::Ended,
        PreviewError::NoThread(fault) => NoPicture::Failed(fault.to_string()),
    }
}

fn device(found: rollcall_discovery::Device) -> FoundDevice {
    FoundDevice {
        endpoint: found.endpoint,
        addresses: found.xaddrs.iter().map(ToString::to_string).collect(),
        name: found.name,
        hardware: found.hardware,
        location: found.location,
        types: found.types,
        from: found.from.to_string(),
    }
}
