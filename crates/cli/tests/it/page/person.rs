//! Somebody with a node and a browser that shows its page. They find things as a screen reader does: by name.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use peerage_drive::browser::{Browser, Element};
use serde_json::{Value, json};

use crate::node::Node;
use crate::world::{PATIENCE, World};

/// Between two looks at what must happen by itself.
const LOOK: Duration = Duration::from_millis(25);
/// Pictures are as high as the page, within these bounds, in CSS pixels.
const WINDOWS: [(u32, u32, u32); 2] = [(1280, 800, 1800), (390, 844, 2400)];

/// Elements that can be used and seen, whose name might be the given one.
const FIND: &str = "
    const [name, selector] = arguments;
    const text = (e) => (e?.getAttribute('aria-label') ?? e?.textContent ?? '').replace(/\\s+/g, ' ').trim();
    const named = (e) => text(e) === name || [...(e.labels ?? [])].some((l) => text(l) === name);
    const all = [...document.querySelectorAll(selector)].filter((e) => named(e) && e.checkVisibility() && !e.disabled);
    const dialog = document.querySelector('dialog[open]');
    return all.filter((e) => !dialog || dialog.contains(e))[0] ?? null;";

/// Asks axe-core, which `cargo xtask test` puts into the target folder where there is npm, for what it finds wrong.
const AXE: &str = "
    return axe.run(document, { resultTypes: ['violations'] }).then((found) =>
        found.violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html).join(' ')}`));";

pub struct Person {
    pub name: &'static str,
    pub browser: Browser,
    pub node: Node,
}

impl Person {
    /// With a node that nobody has logged in to, and its page opened.
    pub fn new(world: &World, name: &'static str) -> Self {
        Self::before(Node::up(world, name), name)
    }

    /// In front of this node.
    pub fn before(node: Node, name: &'static str) -> Self {
        let browser = Browser::start().unwrap();
        browser.resize(WINDOWS[0].0, WINDOWS[0].1).unwrap();
        let person = Self { name, browser, node };
        person.open();
        person
    }

    /// Opens the page with the address that the node told.
    pub fn open(&self) {
        self.browser.open(&format!("http://{}/#token={}", self.node.api, self.node.token)).unwrap();
    }

    /// Makes an account and logs in, as people do.
    pub fn register(&self) {
        self.fill("User name", self.name);
        self.fill("Password", &format!("long-password-of-{}", self.name));
        self.press("Create account");
        self.see("No groups at this time");
    }

    /// Presses a button or follows a link.
    #[track_caller]
    pub fn press(&self, name: &str) {
        let element = self.find(name, "button, a, summary, [role=checkbox], input[type=checkbox]");
        // Something may cover it for a moment, or it was just drawn anew.
        let mut refused = None;
        let pressed = until(|| match self.browser.click(&element) {
            Ok(()) => true,
            Err(error) => {
                refused = Some(error);
                false
            }
        });
        assert!(pressed, "{}: `{name}` cannot be pressed: {refused:?}", self.name);
    }

    /// Types into the field with this label.
    #[track_caller]
    pub fn fill(&self, label: &str, text: &str) {
        let element = self.find(label, "input, textarea, select");
        self.browser.fill(&element, text).unwrap();
    }

    /// Chooses from a list.
    #[track_caller]
    pub fn choose(&self, label: &str, option: &str) {
        let element = self.find(label, "select");
        self.browser.keys(&element, option).unwrap();
    }

    /// Waits until an item of this name has this priority, as a program reads it.
    #[track_caller]
    pub fn see_in_terminal(&self, args: &[&str], path: &str, priority: &str) {
        let read = || -> Value {
            let output = self.node.call(&[args, &["--json"]].concat(), "");
            serde_json::from_slice(&output.stdout).unwrap()
        };
        let is = |item: &Value| item["path"] == path && item["priority"] == priority;
        let seen = until(|| read()["items"].as_array().is_some_and(|items| items.iter().any(is)));
        assert!(seen, "{path} is not {priority}: {}", read());
    }

    /// Waits for an element of this name.
    #[track_caller]
    pub fn find(&self, name: &str, selector: &str) -> Element {
        let mut found = None;
        until(|| {
            let value = self.browser.script(FIND, &[name.into(), selector.into()]).unwrap();
            found = Element::of(&value);
            found.is_some()
        });
        let Some(element) = found else {
            panic!("{}: no `{name}` among {selector}:\n{}", self.name, self.text())
        };
        let label = self.browser.label(&element).unwrap();
        assert!(label.contains(name), "a screen reader calls `{name}` `{label}`");
        element
    }

    /// Waits until the page says this.
    #[track_caller]
    pub fn see(&self, wanted: &str) {
        let seen = until(|| self.text().contains(wanted));
        assert!(seen, "{} never saw `{wanted}` in:\n{}", self.name, self.text());
    }

    /// All text that is shown.
    pub fn text(&self) -> String {
        let text = self.browser.script("return document.body.innerText", &[]).unwrap();
        text.as_str().unwrap_or_default().to_owned()
    }

    /// What a script returns.
    pub fn script(&self, body: &str) -> Value {
        self.browser.script(body, &[]).unwrap()
    }

    /// Goes to a view by its address.
    pub fn go(&self, hash: &str) {
        self.browser.script("location.hash = arguments[0]", &[hash.into()]).unwrap();
    }

    /// Takes pictures of what is shown: wide and narrow, light and dark.
    pub fn pictures(&self, view: &str) {
        self.script("document.querySelectorAll('#toasts button').forEach((dismiss) => dismiss.click())");
        self.pictures_with_messages(view);
    }

    /// The same with the short messages, which go by themselves.
    pub fn pictures_with_messages(&self, view: &str) {
        let folder = target().join("screenshots");
        fs::create_dir_all(&folder).unwrap();
        for (width, least, most) in WINDOWS {
            self.browser.resize(width, least).unwrap();
            let height = self.script("return document.documentElement.scrollHeight").as_u64().unwrap();
            self.browser.resize(width, u32::try_from(height).unwrap().clamp(least, most)).unwrap();
            for dark in [false, true] {
                self.browser.prefer_dark(dark).unwrap();
                // Two frames: one that lays out, one that is seen.
                self.script(
                    "return new Promise((seen) => requestAnimationFrame(() => requestAnimationFrame(seen)))",
                );
                self.can_be_used(view);
                let name = format!("{view}-{width}-{}.png", if dark { "dark" } else { "light" });
                fs::write(folder.join(name), self.browser.picture().unwrap()).unwrap();
            }
            let wide = self
                .script("return document.documentElement.scrollWidth > document.documentElement.clientWidth");
            assert_eq!(wide, json!(false), "{view} is wider than {width} pixels");
        }
        self.browser.prefer_dark(false).unwrap();
        self.browser.resize(WINDOWS[0].0, WINDOWS[0].1).unwrap();
    }

    /// Everybody can read and use what is shown: contrast, structure, focus, sizes; and a name for whatever can be used,
    /// by the browser's own accessibility tree.
    #[track_caller]
    fn can_be_used(&self, view: &str) {
        let found = self.script(include_str!("audit.js"));
        assert_eq!(found["faults"], json!([]), "{view}");
        if let Ok(axe) = fs::read_to_string(target().join("axe/node_modules/axe-core/axe.min.js")) {
            let body = format!("{axe}\n{AXE}");
            assert_eq!(self.script(&body), json!([]), "{view}, says axe-core");
        }
        let controls: Vec<Element> =
            found["controls"].as_array().unwrap().iter().filter_map(Element::of).collect();
        assert!(!controls.is_empty(), "{view}: nothing can be used");
        for control in controls {
            let (label, role) = (self.browser.label(&control), self.browser.role(&control));
            // A message may have gone by itself meanwhile.
            let there = self.browser.script("return arguments[0].isConnected", &[control.to_value()]);
            if there.ok() != Some(json!(true)) {
                continue;
            }
            let (label, role) = (label.unwrap(), role.unwrap());
            assert!(!label.trim().is_empty(), "{view}: a {role} without a name");
            let known =
                ["button", "link", "textbox", "searchbox", "spinbutton", "checkbox", "combobox", "group"];
            assert!(known.contains(&role.as_str()), "{view}: `{label}` is a {role}");
        }
    }

    /// The names of what the tabulator key leads to, until it comes round.
    pub fn tab_order(&self) -> Vec<String> {
        // The first of all; where nothing has the focus, the key begins where the last click was.
        self.script("document.getElementById('skip').focus()");
        let mut names = Vec::new();
        loop {
            let focused = self
                .script("return document.activeElement === document.body ? null : document.activeElement");
            let Some(element) = Element::of(&focused) else { return names };
            let name = self.browser.label(&element).unwrap();
            if names.first() == Some(&name) || names.len() > 200 {
                return names;
            }
            names.push(name);
            self.browser.tab().unwrap();
        }
    }

    /// Nothing went wrong in the page: no error, no violation of its policy.
    #[track_caller]
    pub fn nothing_went_wrong(&self) {
        let console = self.browser.console().unwrap();
        // Refused commands answer with an HTTP status that Chromium logs by itself.
        let refusal = |line: &String| {
            line.contains("/api/v1/commands/")
                && (line.contains("status of 4") || line.contains("status of 503"))
        };
        let wrong: Vec<&String> = console.iter().filter(|line| !refusal(line)).collect();
        assert!(wrong.is_empty(), "{}: {wrong:?}", self.name);
    }
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("..")
}

/// Whether it came true in time.
pub fn until(mut done: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    let (_never, pause) = channel::<()>();
    while !done() {
        if began.elapsed() > PATIENCE {
            return false;
        }
        let _timed_out = pause.recv_timeout(LOOK);
    }
    true
}
