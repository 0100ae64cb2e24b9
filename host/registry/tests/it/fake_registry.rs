//! A registry in this process. A test may answer any request in its place.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use damper_registry::artifact::{Artifact, ComponentInfo};
use damper_registry::{Access, Digest, Reference, Registry, RegistryOptions, Timeouts};
use futures::{StreamExt, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// The repository of the tests.
pub(crate) const REPOSITORY: &str = "providers/gleif";
/// The largest component of the tests, in bytes.
pub(crate) const MAX_BYTES: u64 = 1 << 20;

pub(crate) type Body = BoxBody<Bytes, io::Error>;

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Bytes,
}

/// What a test does with a request.
pub(crate) enum Step {
    /// The registry answers it.
    Pass,
    /// This is the answer.
    Answer(Response<Body>),
    /// The connection is cut before anything is done.
    Cut,
    /// The registry does what it is asked for, and the answer is lost.
    LoseAnswer,
}

type Handler = Box<dyn FnMut(&Seen) -> Step + Send>;

#[derive(Default)]
pub(crate) struct State {
    pub(crate) blobs: BTreeMap<String, Bytes>,
    pub(crate) manifests: BTreeMap<String, Bytes>,
    pub(crate) seen: Vec<Seen>,
    handler: Option<Handler>,
}

/// A running registry; it ends with this value.
pub(crate) struct FakeRegistry {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<Mutex<State>>,
    accepting: JoinHandle<()>,
}

impl Drop for FakeRegistry {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl FakeRegistry {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                connections.spawn(async move { drop(connection.await) });
            }
        });
        Self { address, state, accepting }
    }

    /// Let `handler` see each request first.
    pub(crate) fn intercept(&self, handler: impl FnMut(&Seen) -> Step + Send + 'static) {
        self.state.lock().unwrap().handler = Some(Box::new(handler));
    }

    pub(crate) fn behave(&self) {
        self.state.lock().unwrap().handler = None;
    }

    /// The requests so far, as `METHOD /path`, without those before the last call.
    pub(crate) fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }

    pub(crate) fn reference(&self, tag: &str) -> Reference {
        Reference::parse(&format!("oci://{}/{REPOSITORY}:{tag}", self.address)).unwrap()
    }

    pub(crate) fn open(&self, access: Access) -> Registry {
        Registry::open(&self.reference("1.0.0"), access, &options()).unwrap()
    }

    /// Put a component there as another tool would have.
    pub(crate) fn put(&self, tag: &str, content: &[u8]) -> Artifact {
        let artifact = artifact(content);
        let mut state = self.state.lock().unwrap();
        state.blobs.insert(artifact.component.to_string(), Bytes::copy_from_slice(content));
        state.blobs.insert(Digest::of(&artifact.config).to_string(), artifact.config.clone().into());
        state.manifests.insert(tag.to_owned(), artifact.manifest.clone().into());
        artifact
    }

    pub(crate) fn tag(&self, tag: &str) -> Option<Digest> {
        self.state.lock().unwrap().manifests.get(tag).map(|manifest| Digest::of(manifest))
    }
}

pub(crate) fn artifact(content: &[u8]) -> Artifact {
    let text = |text: &str| text.to_owned();
    let info = ComponentInfo {
        name: text("gleif"),
        version: text("1.0.0"),
        description: text("Legal entities"),
        imports: vec![text("damper:provider/http@0.1.0")],
        exports: vec![text("fetch-record")],
    };
    Artifact::of(content, &info).unwrap()
}

/// Options of a test: nobody waits long.
pub(crate) fn options() -> RegistryOptions {
    options_with(None)
}

pub(crate) fn options_with(docker_config: Option<PathBuf>) -> RegistryOptions {
    let timeouts = Timeouts {
        connect: Duration::from_secs(10),
        idle: Duration::from_secs(10),
        request: Duration::from_secs(20),
        transfer: Duration::from_secs(20),
        helper: Duration::from_secs(20),
        retry: Duration::from_millis(1),
    };
    RegistryOptions { plain_http: false, docker_config, timeouts }
}

async fn answer(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Result<Response<Body>, io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let seen = Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        authorization: parts.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned()),
        body,
    };
    let mut state = state.lock().unwrap();
    state.seen.push(seen.clone());
    let mut handler = state.handler.take();
    let step = handler.as_mut().map_or(Step::Pass, |handler| handler(&seen));
    state.handler = handler;
    match step {
        Step::Pass => Ok(serve(&mut state, &seen)),
        Step::Answer(response) => Ok(response),
        Step::Cut => Err(io::Error::other("cut")),
        Step::LoseAnswer => {
            serve(&mut state, &seen);
            Err(io::Error::other("lost"))
        }
    }
}

fn serve(state: &mut State, seen: &Seen) -> Response<Body> {
    let Some(path) = seen.path.strip_prefix(&format!("/v2/{REPOSITORY}/")) else { return respond(404, "") };
    if path == "blobs/uploads/" {
        return with_header(respond(202, ""), "location", &format!("/v2/{REPOSITORY}/blobs/uploads/1?state=x"));
    }
    if path == "blobs/uploads/1" {
        let digest = seen.query.strip_prefix("state=x&digest=").unwrap().replace("%3A", ":");
        assert_eq!(Digest::of(&seen.body).to_string(), digest);
        state.blobs.insert(digest, seen.body.clone());
        return respond(201, "");
    }
    if let Some(digest) = path.strip_prefix("blobs/") {
        return state.blobs.get(digest).map_or_else(|| respond(404, ""), |blob| respond(200, blob.clone()));
    }
    let Some(key) = path.strip_prefix("manifests/") else { return respond(404, "") };
    if seen.method == "PUT" {
        state.manifests.insert(key.to_owned(), seen.body.clone());
        return respond(201, "");
    }
    let is_it = |(tag, manifest): &(&String, &Bytes)| *tag == key || Digest::of(manifest).to_string() == key;
    let found = state.manifests.iter().find(is_it).map(|(_, manifest)| manifest.clone());
    let Some(manifest) = found else { return respond(404, r#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#) };
    let response =
        with_header(respond(200, manifest.clone()), "docker-content-digest", &Digest::of(&manifest).to_string());
    with_header(response, "content-type", "application/vnd.oci.image.manifest.v1+json")
}

pub(crate) fn respond(status: u16, body: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed();
    Response::builder().status(status).body(body).unwrap()
}

pub(crate) fn with_header(mut response: Response<Body>, name: &'static str, value: &str) -> Response<Body> {
    response.headers_mut().append(name, value.parse().unwrap());
    response
}

/// A body without an end.
pub(crate) fn endless(status: u16) -> Response<Body> {
    let chunks = stream::repeat_with(|| Ok(Frame::data(Bytes::from(vec![b' '; 64 << 10]))));
    Response::builder().status(status).body(BodyExt::boxed(StreamBody::new(chunks))).unwrap()
}

/// A body whose second half never comes.
pub(crate) fn silent(content: &[u8]) -> Response<Body> {
    let half = Bytes::copy_from_slice(&content[..content.len() / 2]);
    let chunks = stream::iter([Ok(Frame::data(half))]).chain(stream::pending());
    Response::builder().status(200).body(BodyExt::boxed(StreamBody::new(chunks))).unwrap()
}

/// A body that breaks off.
pub(crate) fn truncated(content: &[u8]) -> Response<Body> {
    let half = Bytes::copy_from_slice(&content[..content.len() / 2]);
    let chunks = stream::iter([Ok(Frame::data(half)), Err(io::Error::other("truncated"))]);
    Response::builder().status(200).body(BodyExt::boxed(StreamBody::new(chunks))).unwrap()
}
