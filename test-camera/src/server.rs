//! The RTSP server of one camera, and what can go wrong with it.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_app as gst_app;
use gstreamer_rtsp_server as rtsp;
use gstreamer_rtsp_server::prelude::*;
use parking_lot::{Condvar, Mutex};

use crate::TestCameraError;
use crate::clip::{Clip, Codec};
use crate::feeder::{Feed, Viewfinder};
use crate::packets::Tampering;
use crate::trouble::{self, Impostor};

/// Far longer than the last packet of a client that is gone is on its way.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Signed by itself, with its key. Good for tests alone: everybody knows the key.
const CERTIFICATE: &str = include_str!("certificate.pem");

/// The transports a camera offers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transports {
    /// TCP and UDP.
    #[default]
    Both,
    /// TCP alone.
    Tcp,
    /// UDP alone.
    Udp,
}

/// How a camera is set up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The port; 0 takes a free one.
    pub port: u16,
    /// User and password that it asks for.
    pub credentials: Option<(String, String)>,
    /// Asks for digest rather than basic authentication.
    pub digest: bool,
    /// Speaks TLS, with a certificate that nobody trusts.
    pub encrypted: bool,
    /// The transports it offers.
    pub transports: Transports,
    /// Claims to send this codec (an RTP encoding name) instead of its own.
    pub claims: Option<String>,
}

/// An RTSP camera on 127.0.0.1 that sends a clip over and over. It begins with the first client, and stops for nobody.
#[derive(Debug)]
pub struct TestCamera {
    options: Options,
    port: u16,
    feed: Arc<Feed>,
    feeder: Option<JoinHandle<()>>,
    running: Option<Running>,
    /// Holds the port in place of the server.
    impostor: Option<Impostor>,
    silence: Option<TcpListener>,
    tampering: Arc<Tampering>,
    calls: Arc<AtomicU64>,
    logins: Arc<AtomicU64>,
}

/// A server at work.
#[derive(Debug)]
struct Running {
    main: glib::MainLoop,
    context: glib::MainContext,
    thread: JoinHandle<()>,
    hold: Arc<(Mutex<bool>, Condvar)>,
}

/// The only way this crate starts threads.
pub(crate) fn spawn(name: &str, f: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("test-camera {name}")).spawn(f)
}

impl TestCamera {
    /// Starts a camera.
    ///
    /// # Errors
    /// When the port is taken or GStreamer's RTSP server fails.
    pub fn start(clip: Clip, options: Options) -> Result<Self, TestCameraError> {
        gst::init()?;
        let feed = Feed::new(clip);
        let feeding = Arc::clone(&feed);
        let feeder = spawn("feed", move || feeding.run())?;
        let mut camera = Self {
            port: options.port,
            options,
            feed,
            feeder: Some(feeder),
            running: None,
            impostor: None,
            silence: None,
            tampering: Arc::default(),
            calls: Arc::default(),
            logins: Arc::default(),
        };
        camera.restart()?;
        Ok(camera)
    }

    /// Where it is, without user and password.
    pub fn url(&self) -> String {
        let scheme = if self.options.encrypted { "rtsps" } else { "rtsp" };
        format!("{scheme}://127.0.0.1:{}/stream", self.port)
    }

    /// The port; it stays the same over [`TestCamera::kill`] and [`TestCamera::restart`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it sends at the moment.
    pub fn clip(&self) -> Clip {
        self.feed.clip()
    }

    /// How many pictures it has sent.
    pub fn sent(&self) -> u64 {
        self.feed.sent()
    }

    /// How often the clip was shown to its end.
    pub fn rounds(&self) -> u64 {
        self.feed.rounds()
    }

    /// How often somebody connected, for whatever they wanted.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// To look at what it shows while somebody else troubles it.
    pub fn viewfinder(&self) -> Viewfinder {
        Viewfinder(Arc::clone(&self.feed))
    }

    /// The camera is gone: connections break, the port is closed.
    pub fn kill(&mut self) {
        self.resume();
        self.impostor = None;
        self.silence = None;
        if let Some(running) = self.running.take() {
            let (main, feed) = (running.main.clone(), Arc::clone(&self.feed));
            // On the server's thread, which waits for the first picture of a media that it opens.
            running.do_later(move || {
                feed.leave_all();
                main.quit();
            });
            if running.thread.join().is_err() {
                tracing::warn!("an RTSP server panicked");
            }
        }
    }

    /// The camera is there (again), at the same port.
    ///
    /// # Errors
    /// When the port is taken or GStreamer's RTSP server fails.
    pub fn restart(&mut self) -> Result<(), TestCameraError> {
        self.serve(true)
    }

    /// The camera answers, and has no stream (yet): "not found".
    ///
    /// # Errors
    /// When the port is taken or GStreamer's RTSP server fails.
    pub fn without_stream(&mut self) -> Result<(), TestCameraError> {
        self.serve(false)
    }

    fn serve(&mut self, has_stream: bool) -> Result<(), TestCameraError> {
        self.kill();
        let (running, port) = Running::start(self, has_stream)?;
        self.port = port;
        self.running = Some(running);
        Ok(())
    }

    /// The camera stands still: connections stay, nothing more comes, nobody answers a new one.
    pub fn freeze(&self) {
        self.feed.freeze(true);
        if let Some(running) = &self.running {
            *running.hold.0.lock() = true;
            let hold = Arc::clone(&running.hold);
            running.do_later(move || {
                let mut held = hold.0.lock();
                while *held {
                    hold.1.wait(&mut held);
                }
            });
        }
    }

    /// Ends [`TestCamera::freeze`].
    pub fn resume(&self) {
        if let Some(running) = &self.running {
            *running.hold.0.lock() = false;
            running.hold.1.notify_all();
        }
        self.feed.freeze(false);
    }

    /// In place of the camera something else sends noise at its port.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn garbage(&mut self) -> Result<(), TestCameraError> {
        self.kill();
        self.impostor = Some(Impostor::start(self.port, trouble::make_noise)?);
        Ok(())
    }

    /// In place of the camera something asks for a password and takes none.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn refuse_logins(&mut self) -> Result<(), TestCameraError> {
        self.kill();
        let (digest, logins) = (self.options.digest, Arc::clone(&self.logins));
        let refuse = move |peer| trouble::refuse_logins(&peer, digest, &logins);
        self.impostor = Some(Impostor::start(self.port, refuse)?);
        Ok(())
    }

    /// How often it was told a password while it refused them all.
    pub fn refused_logins(&self) -> u64 {
        self.logins.load(Ordering::Relaxed)
    }

    /// The port is open, but nobody ever answers.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn silence(&mut self) -> Result<(), TestCameraError> {
        self.kill();
        self.silence = Some(TcpListener::bind(("127.0.0.1", self.port))?);
        Ok(())
    }

    /// Goes on with another clip of the same codec, in the same connection: another size is a change of resolution.
    pub fn switch(&self, clip: Clip) {
        self.feed.switch(clip);
    }

    /// Sets the camera's clock forward or back: RTP time stamps jump in the running connection.
    pub fn jump_clock(&self, seconds: i32) {
        self.tampering.jump_clock(seconds);
    }

    /// Sends noise in place of video, in packets that are as they should be; or video again.
    pub fn scramble(&self, on: bool) {
        self.tampering.scramble(on);
    }
}

impl Drop for TestCamera {
    fn drop(&mut self) {
        self.kill();
        self.feed.end();
        if self.feeder.take().is_some_and(|f| f.join().is_err()) {
            tracing::warn!("a feeder panicked");
        }
    }
}

impl Running {
    /// Does something on the server's thread, once its loop runs. (`MainContext::invoke` would do it here and now if the
    /// thread has not got that far.)
    fn do_later(&self, f: impl Fn() + Send + 'static) {
        let source = glib::idle_source_new(None, glib::Priority::HIGH, move || {
            f();
            glib::ControlFlow::Break
        });
        source.attach(Some(&self.context));
    }

    fn start(camera: &TestCamera, has_stream: bool) -> Result<(Self, u16), TestCameraError> {
        let server = rtsp::RTSPServer::new();
        server.set_address("127.0.0.1");
        server.set_service(&camera.port.to_string());
        let factory = factory(camera);
        if let Some((user, password)) = &camera.options.credentials {
            server.set_auth(Some(&auth(user, password, camera.options.digest)));
            factory.add_role_from_structure(
                &gst::Structure::builder("user")
                    .field("media.factory.access", true)
                    .field("media.factory.construct", true)
                    .build(),
            );
        }
        if camera.options.encrypted {
            let auth = server.auth().unwrap_or_default();
            auth.set_tls_certificate(Some(&rtsp::gio::TlsCertificate::from_pem(CERTIFICATE)?));
            server.set_auth(Some(&auth));
        }
        let mounts = rtsp::RTSPMountPoints::new();
        if has_stream {
            mounts.add_factory("/stream", factory);
        }
        server.set_mount_points(Some(&mounts));
        // Clients are served on this thread, too: it may close them while nobody reads from them, and holds them when it stands.
        if let Some(pool) = server.thread_pool() {
            pool.set_max_threads(0);
        }
        let calls = Arc::clone(&camera.calls);
        let gone = Arc::new(Mutex::new(Gone::default()));
        let leaving = Arc::clone(&gone);
        server.connect_client_connected(move |_, client| {
            calls.fetch_add(1, Ordering::Relaxed);
            let leaving = Arc::clone(&leaving);
            client.connect_closed(move |client| leaving.lock().since_last_sweep.push(client.clone()));
        });

        let context = glib::MainContext::new();
        let swept = Arc::clone(&gone);
        // Of lower priority than what is asked of the server's thread, which may have stood still meanwhile.
        let sweeping = glib::timeout_source_new(SWEEP_EVERY, None, glib::Priority::LOW, move || {
            swept.lock().sweep();
            glib::ControlFlow::Continue
        });
        sweeping.attach(Some(&context));
        let source = server.create_source(None::<&rtsp::gio::Cancellable>)?;
        source.attach(Some(&context));
        let port = u16::try_from(server.bound_port())
            .ok()
            .filter(|&p| p > 0)
            .ok_or_else(|| TestCameraError::Gstreamer("the RTSP server has no port".to_owned()))?;
        let main = glib::MainLoop::new(Some(&context), false);
        let (on_thread, looping) = (context.clone(), main.clone());
        let thread = spawn("rtsp", move || {
            let ran = on_thread.with_thread_default(|| looping.run());
            source.destroy();
            // Sessions over UDP outlive their connection; both have to go.
            server.client_filter(Some(&mut |_, _| rtsp::RTSPFilterResult::Remove));
            if let Some(sessions) = server.session_pool() {
                sessions.filter(Some(&mut |_, _| rtsp::RTSPFilterResult::Remove));
            }
            // They hold the context, whose source holds them.
            *gone.lock() = Gone::default();
            if ran.is_err() {
                tracing::warn!("an RTSP server could not take its context");
            }
        })?;
        Ok((Self { main, context, thread, hold: Arc::default() }, port))
    }
}

/// Clients that have gone, held until nobody speaks of them. The thread that sends a client's packets has no reference to
/// it, and when one does not get through asks the server's thread to close it. GStreamer's server would close it after it
/// was freed, or free it while it holds its lock (and abort).
#[derive(Debug, Default)]
struct Gone {
    since_last_sweep: Vec<rtsp::RTSPClient>,
    before: Vec<rtsp::RTSPClient>,
}

impl Gone {
    /// Lets go of those that were gone at the last sweep, too.
    fn sweep(&mut self) {
        self.before = std::mem::take(&mut self.since_last_sweep);
    }
}

fn auth(user: &str, password: &str, digest: bool) -> rtsp::RTSPAuth {
    let auth = rtsp::RTSPAuth::new();
    let token = rtsp::RTSPToken::builder().field("media.factory.role", "user").build();
    if digest {
        auth.set_supported_methods(rtsp::gst_rtsp::RTSPAuthMethod::Digest);
        auth.add_digest(user, password, &token);
    } else {
        auth.set_supported_methods(rtsp::gst_rtsp::RTSPAuthMethod::Basic);
        auth.add_basic(&rtsp::RTSPAuth::make_basic(user, password), &token);
    }
    auth
}

fn factory(camera: &TestCamera) -> rtsp::RTSPMediaFactory {
    let payloader = match camera.feed.clip().format().codec {
        Codec::H264 => "h264parse config-interval=-1 ! rtph264pay config-interval=-1",
        Codec::H265 => "h265parse config-interval=-1 ! rtph265pay config-interval=-1",
        Codec::Mjpeg => "jpegparse ! rtpjpegpay",
    };
    let (name, disguise) = match &camera.options.claims {
        None => ("pay0", String::new()),
        Some(claim) => {
            ("inner", format!(" ! capssetter name=pay0 caps=\"application/x-rtp,encoding-name=(string){claim}\""))
        }
    };
    let factory = rtsp::RTSPMediaFactory::new();
    factory
        .set_launch(&format!("( appsrc name=src is-live=true format=time ! {payloader} name={name} pt=96{disguise} )"));
    factory.set_shared(true);
    let (tcp, udp) = (rtsp::gst_rtsp::RTSPLowerTrans::TCP, rtsp::gst_rtsp::RTSPLowerTrans::UDP);
    factory.set_protocols(match camera.options.transports {
        Transports::Both => tcp | udp,
        Transports::Tcp => tcp,
        Transports::Udp => udp,
    });
    let feed = Arc::clone(&camera.feed);
    let tampering = Arc::clone(&camera.tampering);
    factory.connect_media_configure(move |_, media| {
        let element = media.element();
        let Some(bin) = element.downcast_ref::<gst::Bin>() else { return };
        if let Some(pad) = bin.by_name("pay0").and_then(|p| p.static_pad("src")) {
            tampering.watch(&pad);
        }
        if let Some(source) = bin.by_name("src").and_then(|s| s.downcast::<gst_app::AppSrc>().ok()) {
            feed.join(source);
        }
    });
    factory
}
