//! A real browser: headless Chromium behind `chromedriver`, spoken to as WebDriver (W3C) over loopback.
//!
//! One request at a time, each with a deadline. WebDriver crates would bring an async runtime, a second HTTP client and
//! TLS for what are a dozen kinds of request with a JSON body.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// The program that speaks WebDriver; Debian package `chromium-driver`.
const DRIVER: &str = "chromedriver";
/// Longest wait for one answer. A first start on a busy machine takes most of it.
const ANSWER_MAX: Duration = Duration::from_secs(90);
/// Longest answer, a picture of a long page in base64.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The key under which WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Why the browser did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum BrowserError {
    /// The driver cannot be started, or has ended.
    #[error("`{DRIVER}`: {0}")]
    Driver(#[from] io::Error),
    /// What came is no answer.
    #[error("`{DRIVER}` answered {doing} with something else: {answer}")]
    Answer {
        /// The request.
        doing: String,
        /// What came.
        answer: String,
    },
    /// It refused, or the page did.
    #[error("{doing}: {error}")]
    Refused {
        /// The request.
        doing: String,
        /// Its reason.
        error: String,
    },
}

/// A browser with one window and a profile of its own. Ends with its handle.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

/// An element of the page that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Element(String);

impl Element {
    /// The element that a script returned, if it is one.
    pub fn of(value: &Value) -> Option<Self> {
        Some(Self(value.get(ELEMENT)?.as_str()?.to_owned()))
    }

    /// As an argument of a script.
    pub fn to_value(&self) -> Value {
        json!({ ELEMENT: self.0 })
    }
}

impl Browser {
    /// Whether there is one on this machine.
    pub fn is_installed() -> bool {
        let mut probe = Command::new(DRIVER);
        let probe = probe.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
        probe.status().is_ok_and(|status| status.success())
    }

    /// Starts one, without a window that could be seen.
    ///
    /// # Errors
    /// When the driver is missing or Chromium does not start.
    pub fn start() -> Result<Self, BrowserError> {
        Self::start_with(&[])
    }

    /// Starts one with more switches.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(more: &[&str]) -> Result<Self, BrowserError> {
        let mut command = Command::new(DRIVER);
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut driver = command.spawn()?;
        let port = driver.stdout.take().and_then(|stdout| {
            let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
            // "ChromeDriver was started successfully on port 34567."
            let line = lines.find(|line| line.contains("started successfully on port"))?;
            // Nobody may fill its pipe.
            std::thread::spawn(move || lines.for_each(drop));
            line.trim_end_matches('.').rsplit(' ').next()?.parse::<u16>().ok()
        });
        let mut browser = Self { driver, port: port.unwrap_or(0), session: String::new() };
        // A container has no user namespaces and little shared memory; only pages of this machine are opened.
        let fixed =
            ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run"];
        let args = [&fixed, more].concat();
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": { "args": args },
            "goog:loggingPrefs": { "browser": "ALL" },
        }}});
        let session = browser.request("POST", "/session", Some(&wanted))?;
        browser.session = session["sessionId"].as_str().unwrap_or_default().to_owned();
        Ok(browser)
    }

    /// Opens an address and waits until it is loaded.
    ///
    /// # Errors
    /// See [`BrowserError`]; so for all that follow.
    pub fn open(&self, address: &str) -> Result<(), BrowserError> {
        self.ask("POST", "/url", Some(&json!({ "url": address }))).map(drop)
    }

    /// Loads the page again.
    pub fn reload(&self) -> Result<(), BrowserError> {
        self.ask("POST", "/refresh", Some(&json!({}))).map(drop)
    }

    /// Runs the body of a function; a promise that it returns is waited for.
    pub fn script(&self, body: &str, args: &[Value]) -> Result<Value, BrowserError> {
        self.ask("POST", "/execute/sync", Some(&json!({ "script": body, "args": args })))
    }

    /// Presses the middle of an element, as a mouse does: what covers it is an error.
    pub fn click(&self, element: &Element) -> Result<(), BrowserError> {
        self.ask("POST", &format!("/element/{}/click", element.0), Some(&json!({}))).map(drop)
    }

    /// Replaces what stands in a field by typing.
    pub fn fill(&self, element: &Element, text: &str) -> Result<(), BrowserError> {
        self.ask("POST", &format!("/element/{}/clear", element.0), Some(&json!({})))?;
        self.keys(element, text)
    }

    /// Types into an element; keys without a letter are WebDriver's (U+E000 and up).
    pub fn keys(&self, element: &Element, text: &str) -> Result<(), BrowserError> {
        self.ask("POST", &format!("/element/{}/value", element.0), Some(&json!({ "text": text }))).map(drop)
    }

    /// Presses the tabulator key, wherever the focus is.
    pub fn tab(&self) -> Result<(), BrowserError> {
        let key = |kind: &str| json!({ "type": kind, "value": "\u{E004}" });
        let actions = json!([{ "type": "key", "id": "keys", "actions": [key("keyDown"), key("keyUp")] }]);
        self.ask("POST", "/actions", Some(&json!({ "actions": actions }))).map(drop)
    }

    /// The name by which a screen reader calls it.
    pub fn label(&self, element: &Element) -> Result<String, BrowserError> {
        self.text_of(element, "computedlabel")
    }

    /// What a screen reader says that it is.
    pub fn role(&self, element: &Element) -> Result<String, BrowserError> {
        self.text_of(element, "computedrole")
    }

    fn text_of(&self, element: &Element, what: &str) -> Result<String, BrowserError> {
        let text = self.ask("GET", &format!("/element/{}/{what}", element.0), None)?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// A command of Chromium's own protocol.
    pub fn devtools(&self, command: &str, params: &Value) -> Result<Value, BrowserError> {
        self.ask("POST", "/goog/cdp/execute", Some(&json!({ "cmd": command, "params": params })))
    }

    /// A window of this size in CSS pixels; below 600 a telephone's, with touch.
    pub fn resize(&self, width: u32, height: u32) -> Result<(), BrowserError> {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", &size).map(drop)
    }

    /// Whether its user prefers dark.
    pub fn prefer_dark(&self, dark: bool) -> Result<(), BrowserError> {
        let value = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": value }] });
        self.devtools("Emulation.setEmulatedMedia", &features).map(drop)
    }

    /// What the window shows, as PNG.
    pub fn picture(&self) -> Result<Vec<u8>, BrowserError> {
        let picture = self.ask("GET", "/screenshot", None)?;
        let base64 = picture.as_str().unwrap_or_default().as_bytes();
        data_encoding::BASE64.decode(base64).map_err(|error| BrowserError::Answer {
            doing: "a picture".to_owned(),
            answer: error.to_string(),
        })
    }

    /// What the console was told since the last call: errors, and violations of the page's policy.
    pub fn console(&self) -> Result<Vec<String>, BrowserError> {
        let entries = self.ask("POST", "/se/log", Some(&json!({ "type": "browser" })))?;
        let line = |entry: &Value| format!("{} {}", entry["level"], entry["message"]);
        Ok(entries.as_array().map(|all| all.iter().map(line).collect()).unwrap_or_default())
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, BrowserError> {
        self.request(method, &format!("/session/{}{path}", self.session), body)
    }

    fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, BrowserError> {
        let doing = || format!("{method} {path}");
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: localhost:{}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.port,
            body.len(),
        )?;
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        let mut line = String::new();
        while reader.read_line(&mut line)? > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            line.clear();
        }
        if length > ANSWER_BYTES_MAX {
            return Err(BrowserError::Answer { doing: doing(), answer: format!("{length} bytes") });
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer)?;
        let mut answer: Value = serde_json::from_slice(&answer)
            .map_err(|error| BrowserError::Answer { doing: doing(), answer: error.to_string() })?;
        let value = answer["value"].take();
        match value.get("error") {
            Some(error) if error.is_string() => {
                let why = value["message"].as_str().unwrap_or_default().lines().next().unwrap_or_default();
                Err(BrowserError::Refused { doing: doing(), error: format!("{error}: {why}") })
            }
            _ => Ok(value),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium is the driver's child: it is asked to end it, then the rest of the group goes.
        drop(self.ask("DELETE", "", None));
        #[cfg(unix)]
        if let Some(group) = i32::try_from(self.driver.id()).ok().and_then(rustix::process::Pid::from_raw) {
            // It may have ended already.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}
