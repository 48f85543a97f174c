//! A headless Chromium, driven over its DevTools protocol: enough of it to load a page, act on it and look at it.

#![expect(clippy::disallowed_methods, reason = "a test gives up after a while")]

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// Nothing that a test asks of a page takes longer, even on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A page of 1 x 1 pixels would hide half of what is tested.
const WINDOW: &str = "--window-size=1280,900";

/// Without these a headless Chromium calls home, and fails to where there is no network.
const SILENT: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
];

/// A Chromium: the one that `CHROME` names, or one on the path.
///
/// # Panics
/// If there is none, with what to do about it: nothing is installed here, and no test is skipped.
pub fn chromium() -> PathBuf {
    let named = std::env::var_os("CHROME").map(PathBuf::from);
    let folders: Vec<PathBuf> =
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    let usual = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];
    let on_path = usual.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let found = named.into_iter().chain(on_path).find(|program| program.is_file());
    found.expect("the report is tested in a Chromium: `cargo xtask test` says how to get one, or name its program in CHROME")
}

/// A page in a browser of its own, which ends with it.
#[derive(Debug)]
pub struct Page {
    browser: Child,
    _profile: tempfile::TempDir,
    socket: WebSocket<TcpStream>,
    session: String,
    last_id: u64,
    /// Events that came while something else was awaited.
    events: VecDeque<Value>,
}

impl Page {
    /// Starts the browser with an empty page.
    pub fn start(program: &Path) -> Self {
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut browser = Command::new(program)
            .args(SILENT)
            .arg(WINDOW)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the browser starts");
        let mut said = BufReader::new(browser.stderr.take().expect("a pipe"));
        let address = listening(&mut said);
        // What else it says goes nowhere, but it must be able to say it.
        std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        let host = address.trim_start_matches("ws://").split('/').next().unwrap_or_default();
        let stream = TcpStream::connect(host).expect("the browser listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        let (socket, _) = tungstenite::client(&address, stream).expect("the browser answers");
        let (session, events) = (String::new(), VecDeque::new());
        let mut page = Self { browser, _profile: profile, socket, session, last_id: 0, events };
        let target = page.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = page.call("Target.attachToTarget", &attach);
        attached["sessionId"].as_str().expect("a session").clone_into(&mut page.session);
        for domain in ["Page.enable", "Runtime.enable", "Log.enable", "Network.enable"] {
            page.call(domain, &json!({}));
        }
        page
    }

    /// Loads a file and waits until it is loaded.
    pub fn open(&mut self, file: &Path) {
        self.call("Page.navigate", &json!({"url": format!("file://{}", file.display())}));
        self.await_event("Page.loadEventFired");
    }

    /// The value of a JavaScript expression.
    ///
    /// # Panics
    /// If it throws.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", &parameters);
        assert!(answer.get("exceptionDetails").is_none(), "`{expression}`: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until a JavaScript expression is true.
    pub fn wait_for(&mut self, expression: &str) {
        let started = Instant::now();
        while self.evaluate(expression) != json!(true) {
            assert!(started.elapsed() < PATIENCE, "still not so: `{expression}`");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Moves the mouse to the middle of the first element that a selector finds, offset by a part of its size.
    pub fn hover(&mut self, selector: &str, (right, down): (f64, f64)) -> (f64, f64) {
        let expression = format!(
            "(() => {{ const e = document.querySelector({selector:?}); e.scrollIntoView({{block: 'center', behavior: 'instant'}}); \
             const r = e.getBoundingClientRect(); \
             return [r.x + r.width * (0.5 + {right}), r.y + r.height * (0.5 + {down})]; }})()"
        );
        let place = self.evaluate(&expression);
        let (x, y) = (place[0].as_f64().expect("a coordinate"), place[1].as_f64().expect("a coordinate"));
        self.mouse("mouseMoved", x, y);
        (x, y)
    }

    /// Clicks into the middle of the first element that a selector finds.
    pub fn click(&mut self, selector: &str) {
        let (x, y) = self.hover(selector, (0.0, 0.0));
        self.mouse("mousePressed", x, y);
        self.mouse("mouseReleased", x, y);
    }

    /// Presses a key, named as JavaScript does.
    pub fn press(&mut self, key: &str) {
        for kind in ["rawKeyDown", "keyUp"] {
            self.call("Input.dispatchKeyEvent", &json!({"type": kind, "key": key, "code": key}));
        }
    }

    /// Types text into the element that has the focus.
    pub fn insert_text(&mut self, text: &str) {
        self.call("Input.insertText", &json!({"text": text}));
    }

    /// Prefers light or dark colours, and lays the page out for a screen of so many pixels.
    pub fn emulate(&mut self, scheme: &str, (width, height): (u32, u32)) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", &json!({"features": features}));
        let metrics =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// A picture of what is in the window, as PNG.
    pub fn screenshot(&mut self) -> Vec<u8> {
        decoded(&self.call("Page.captureScreenshot", &json!({"format": "png"})))
    }

    /// The page as it is printed, as PDF.
    pub fn print(&mut self) -> Vec<u8> {
        decoded(&self.call("Page.printToPDF", &json!({"printBackground": true})))
    }

    /// Everything the page has complained of or asked for so far: console errors and warnings, exceptions, addresses that are not
    /// those of files or of data in the page.
    pub fn complaints(&mut self) -> Vec<String> {
        // An answer comes after all events before it.
        self.evaluate("0");
        self.events.iter().filter_map(complaint).collect()
    }

    fn mouse(&mut self, kind: &str, x: f64, y: f64) {
        let pressed = if kind == "mouseMoved" { "none" } else { "left" };
        let parameters = json!({"type": kind, "x": x, "y": y, "button": pressed, "clickCount": 1});
        self.call("Input.dispatchMouseEvent", &parameters);
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.last_id += 1;
        let mut request = json!({"id": self.last_id, "method": method, "params": parameters});
        if !self.session.is_empty() {
            request["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(request.to_string())).expect("the browser is there");
        loop {
            match self.receive(method) {
                message if message["id"] == json!(self.last_id) => {
                    assert!(message.get("error").is_none(), "{method}: {message}");
                    return message["result"].clone();
                }
                event => self.events.push_back(event),
            }
        }
    }

    fn await_event(&mut self, method: &str) {
        while !self.events.iter().any(|event| event["method"] == json!(method)) {
            let event = self.receive(method);
            self.events.push_back(event);
        }
        self.events.retain(|event| event["method"] != json!(method));
    }

    fn receive(&mut self, awaited: &str) -> Value {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return serde_json::from_str(&text).expect("JSON"),
                Ok(_) => {}
                Err(error) => panic!("the browser does not answer {awaited}: {error}"),
            }
        }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.browser.kill();
        let _ = self.browser.wait();
    }
}

/// Where the browser listens: it says so on standard error.
fn listening(said: &mut BufReader<std::process::ChildStderr>) -> String {
    let mut all = String::new();
    for line in said.by_ref().lines().map_while(Result::ok) {
        if let Some(address) = line.strip_prefix("DevTools listening on ") {
            return address.to_owned();
        }
        all.push_str(&line);
        all.push('\n');
    }
    panic!("the browser does not listen: {all}");
}

fn decoded(answer: &Value) -> Vec<u8> {
    let text = answer["data"].as_str().expect("data");
    data_encoding::BASE64.decode(text.as_bytes()).expect("base64")
}

fn complaint(event: &Value) -> Option<String> {
    let parameters = &event["params"];
    match event["method"].as_str()? {
        "Runtime.exceptionThrown" => Some(format!("exception: {}", parameters["exceptionDetails"])),
        "Log.entryAdded" if parameters["entry"]["level"] != json!("verbose") => {
            Some(format!("log: {}", parameters["entry"]))
        }
        "Runtime.consoleAPICalled"
            if matches!(parameters["type"].as_str(), Some("error" | "warning" | "assert")) =>
        {
            Some(format!("console: {}", parameters["args"]))
        }
        "Network.requestWillBeSent" => {
            let address = parameters["request"]["url"].as_str().unwrap_or_default();
            let inside =
                ["file:", "data:", "blob:", "about:"].iter().any(|scheme| address.starts_with(scheme));
            (!inside).then(|| format!("request: {address}"))
        }
        _ => None,
    }
}
