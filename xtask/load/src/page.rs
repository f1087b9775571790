//! `cargo xtask bench page`: how quickly the page answers when there is very much to show.
//!
//! The real HTTP layer and the real page in headless Chromium, in front of a crowd that no machine could run: its groups, files
//! and downloads are made up, and all downloads move all the time. What is measured is from what somebody does, or from an
//! event's arrival in the page, until the next frame that shows it is painted; and how long the page was ever busy at a stretch.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use peerage_drive::browser::Browser;
use peerage_local::command::{Command, ParseError};
use peerage_local::http::{Asking, RunningCommand, Server, Source};
use peerage_local::list_part;
use peerage_local::reply::{Done, Item, Outcome, model};
use peerage_node::client::{
    Activity, Change, DownloadLine, FileLine, GroupLine, GroupRef, HashReport, MemberLine, MyStanding,
    Notice, Rates, Refusal, Role, Whoami,
};
use peerage_types::{ContentId, PublicKey, UserId};
use serde_json::{Value, json};
use tokio::sync::broadcast;

/// What takes so long or longer is told with what was going on meanwhile.
const AIM_MS: f64 = 100.0;
/// Bytes of each download, so that none ends while it is measured.
const DOWNLOAD_BYTES: u64 = 1 << 42;

/// How much there is to show.
#[derive(clap::Args)]
pub struct PageBench {
    /// Groups that there are.
    #[arg(long, default_value_t = 1_000)]
    groups: u32,
    /// Files of the group that is opened.
    #[arg(long, default_value_t = 50_000)]
    files: u32,
    /// Downloads, all of which move all the time.
    #[arg(long, default_value_t = 200)]
    downloads: u32,
    /// How often each thing is done.
    #[arg(long, default_value_t = 20)]
    times: u32,
    /// One JSON object on stdout instead of a table.
    #[arg(long)]
    json: bool,
}

/// As much to say as a very busy node.
struct Crowd {
    files: Vec<FileLine>,
    groups: Vec<GroupLine>,
    downloads: u32,
    began: Instant,
    notices: broadcast::Sender<Notice>,
    changes: broadcast::Sender<Change>,
    data: PathBuf,
}

impl Crowd {
    fn new(of: &PageBench, data: &Path) -> Self {
        let file = |i: u32| FileLine {
            // Neither in order nor alike.
            name: format!("{:05} recording of session {}.mkv", i.wrapping_mul(40_503) % of.files, i % 977),
            size: u64::from(i.wrapping_mul(2_654_435_761)),
            files: i.is_multiple_of(10).then_some(i % 300),
            sharers: 1 + i % 9,
            sharers_online: i % 7,
            content: ContentId([(i % 251) as u8; 32]),
            mine: i.is_multiple_of(50),
            last_holder: Some(i.is_multiple_of(50) && i % 7 == 1),
            damaged: false,
            scrub_percent: None,
        };
        let group = |i: u32| GroupLine {
            name: format!("group-{i:04}"),
            members: 1 + i % 500,
            standing: if i.is_multiple_of(3) { MyStanding::Member } else { MyStanding::None },
            requests: None,
        };
        Self {
            files: (0..of.files).map(file).collect(),
            groups: (0..of.groups).map(group).collect(),
            downloads: of.downloads,
            began: Instant::now(),
            notices: broadcast::channel(16).0,
            changes: broadcast::channel(16).0,
            data: data.to_owned(),
        }
    }

    fn download(&self, i: u32) -> DownloadLine {
        let elapsed_ms = self.began.elapsed().as_millis() as u64;
        let rate = 1_000_000 + u64::from(i) * 10_007 + elapsed_ms % 4_096 * 97;
        let done = elapsed_ms * rate / 1_000;
        DownloadLine {
            group: format!("group-{:04}", i % 7 * 3),
            name: format!("download {i:03}.iso"),
            complete: false,
            percent: (done as f64 * 1_000.0 / DOWNLOAD_BYTES as f64).floor() / 10.0,
            bytes_done: done,
            bytes_total: DOWNLOAD_BYTES,
            bytes_per_second: rate,
            peers: 8,
            path: format!("/srv/downloads/download {i:03}.iso").into(),
            seconds: elapsed_ms as f64 / 1_000.0,
            sources: (0..8).map(|peer| (format!("member-{peer}"), done / 8)).collect(),
            activity: Activity::Downloading,
            note: None,
            files: None,
        }
    }

    fn answer(&self, command: Command) -> Result<Done, Refusal> {
        let me = UserId([7; 32]);
        let list = |items: Vec<Item>| Ok(Done::list(items, "entry", "Nothing"));
        match command {
            Command::Whoami => {
                let me = Whoami {
                    user: "ana".into(),
                    user_id: me,
                    device: PublicKey([8; 32]),
                    listen: self.listen(),
                    tracker: "127.0.0.1:7700".into(),
                    notes: Vec::new(),
                };
                list(vec![Item::new("ana", None, &model::Me::from(&me))])
            }
            Command::ListGroups => {
                let item = |g: &GroupLine| Item::new(g.name.clone(), None, &model::Group::from(g));
                list(self.groups.iter().map(item).collect())
            }
            Command::ListMembers { .. } => {
                let me = MemberLine { user: "ana".into(), user_id: me, role: Role::Member, forked: false };
                list(vec![Item::new("ana", None, &model::Member::from(&me))])
            }
            Command::ListFiles { group, part } => Ok(list_part(&self.files, &group, &part)),
            _ => Err(Refusal::Local("the crowd does not know that".to_owned())),
        }
    }
}

impl Source for Crowd {
    fn run(&self, parsed: Result<Option<Command>, ParseError>, _: HashReport) -> RunningCommand<'_> {
        Box::pin(async move {
            let outcome: Outcome = match parsed {
                Ok(None) => return None,
                Ok(Some(command)) => self.answer(command).map_err(Into::into),
                Err(error) => Err(error.into()),
            };
            Some(outcome)
        })
    }

    fn last_held(&self) -> Asking<'_> {
        Box::pin(async { None })
    }

    fn user(&self) -> Option<String> {
        Some("ana".to_owned())
    }

    fn downloads(&self) -> Vec<model::Download> {
        (0..self.downloads).map(|i| model::Download::from(&self.download(i))).collect()
    }

    fn place_of_download(&self, _: &GroupRef, _: &str) -> Result<(PathBuf, PathBuf), Refusal> {
        Err(Refusal::NoSuchDownload)
    }

    fn limits(&self) -> Rates {
        Rates::default()
    }

    fn damaged(&self) -> Vec<String> {
        Vec::new()
    }

    fn notices(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    fn changes(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    fn data(&self) -> &Path {
        &self.data
    }

    fn listen(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 7600))
    }
}

/// What is set up before the page's own scripts: when events of downloads arrive and when the next frame is painted, and tasks
/// that kept the page busy.
const WATCH: &str = r#"
    window.measured = { updates: [], busy: [], tasks: [] };
    const painted = () => new Promise((done) => requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = done;
      channel.port2.postMessage(null);
    }));
    window.painted = painted;
    const parse = JSON.parse;
    JSON.parse = (text, ...more) => {
      if (text.startsWith('[{"group"')) {
        const began = performance.now();
        painted().then(() => window.measured.updates.push(performance.now() - began));
      }
      return parse(text, ...more);
    };
    new PerformanceObserver((list) => {
      window.measured.busy.push(...list.getEntries().map((e) => e.duration));
      window.measured.tasks.push(...list.getEntries());
    })
      .observe({ type: "longtask" });"#;

/// Does something, waits until `shown()` and for the frame, and says how long that took; and what was going on meanwhile: the
/// requests (from when to when) and the tasks of more than 50 ms, in milliseconds from the beginning.
const TIMED: &str = r#"
    window.timed = async (act, shown) => {
      performance.clearResourceTimings();
      const began = performance.now();
      await act();
      while (!shown()) {
        if (performance.now() - began > 20000) throw new Error(`never shown: ${shown} at ${location.hash}: ${document.body.innerText.slice(0, 300).replaceAll("\n", " | ")}`);
        await new Promise((again) => setTimeout(again, 0));
      }
      const there = performance.now();
      await painted();
      const took = performance.now() - began;
      await new Promise((observed) => setTimeout(observed, 0));
      const since = (time) => Math.round(time - began);
      const span = (name, e) => `${name} ${since(e.startTime)}-${since(e.startTime + e.duration)}`;
      const requests = performance.getEntriesByType('resource').map((e) => span(e.name.split('/').pop(), e));
      const tasks = measured.tasks.filter((e) => e.startTime + e.duration > began).map((e) => span('busy', e));
      return { took, why: [...requests, ...tasks, `frame ${since(there)}-${Math.round(took)}`].join(', ') };
    };
    const first = () => document.querySelector('.list .name')?.textContent ?? '';
    const title = () => document.querySelector('h1')?.textContent;
    window.at = {
      downloads: async () => {
        location.hash = '#/downloads';
        await timed(() => {}, () => title() === 'Downloads' && first().startsWith('download'));
      },
      groups: async () => {
        await at.downloads();
        location.hash = '#/';
        await timed(() => {}, () => title() === 'Groups' && first() === 'group-0000');
      },
      files: async () => {
        await at.groups();
        location.hash = '#/group/group-0000/files';
        await timed(() => {}, () => title() === 'group-0000' && first().includes('recording'));
      },
    };
    window.row = () => [...document.querySelectorAll('ul.list > li')].find((e) => e.getBoundingClientRect().top > 120);
"#;

/// Name of each measurement, where it begins, and its script; `n` is how often it was done before.
const STEPS: [(&str, &str, &str); 6] = [
    (
        "open the groups",
        "downloads",
        "return timed(() => { location.hash = '#/'; }, () => document.querySelector('.list .name')?.textContent === 'group-0000');",
    ),
    (
        "find a group, from key to rows",
        "groups",
        "const wanted = `group-0${n % 10}${n % 7}1`; const find = document.querySelector('input[type=search]');
         return timed(() => { find.value = wanted; find.dispatchEvent(new Event('input')); }, () => document.querySelectorAll('.list > li').length === 1 && document.querySelector('.list .name').textContent === wanted);",
    ),
    (
        "open a group with all files",
        "groups",
        "return timed(() => { document.querySelector('.list .name a').click(); }, () => document.querySelector('h1').textContent === 'group-0000' && document.querySelector('.list .name')?.textContent.includes('recording'));",
    ),
    (
        "find files, from key to rows",
        "files",
        "const wanted = `session ${n + 100}.`; const find = document.querySelector('input[type=search]');
         return timed(() => { find.value = wanted; find.dispatchEvent(new Event('input')); }, () => document.querySelector('.list .name')?.textContent.includes(wanted));",
    ),
    (
        "scroll to somewhere in all files",
        "files",
        "return timed(() => { scrollTo(0, document.documentElement.scrollHeight * ((n * 7 + 3) % 18 + 1) / 20); }, () => { const r = row(); return r && !r.classList.contains('waits') && r.getBoundingClientRect().top < 300; });",
    ),
    (
        "open the downloads",
        "groups",
        "return timed(() => { location.hash = '#/downloads'; }, () => document.querySelector('.list .name')?.textContent.startsWith('download'));",
    ),
];

/// Starts everything, measures and prints.
pub fn run(bench: &PageBench) -> Result<()> {
    ensure!(
        Browser::is_installed(),
        "chromedriver is not here: install the Debian package `chromium-driver`"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = tempfile::TempDir::with_prefix("bench-page-")?;
    let crowd = Arc::new(Crowd::new(bench, folder.path()));
    let server = runtime.block_on(Server::start(crowd, SocketAddr::from(([127, 0, 0, 1], 0)), None))?;
    // Chromium ignores changes of the address beyond 200 in ten seconds, which nobody makes by hand.
    let browser = Browser::start_with(&["--disable-ipc-flooding-protection"])?;
    browser.resize(1280, 800)?;
    browser.devtools("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": WATCH }))?;
    browser.open(&server.running().page())?;
    let (mut rows, mut late) = (Vec::new(), Vec::new());
    for (name, before, script) in STEPS {
        let mut taken = Vec::new();
        for n in 0..bench.times {
            let body = format!(
                "{TIMED} return (async (n) => {{ await at.{before}(); await painted(); {script} }})({n});"
            );
            let took = browser.script(&body, &[]).with_context(|| format!("{name}, time {n}"))?;
            let took_ms = took["took"].as_f64().context("no number")?;
            if took_ms >= AIM_MS {
                late.push(format!(
                    "{name}, time {n}: {took_ms:.0} ms: {}",
                    took["why"].as_str().unwrap_or_default()
                ));
            }
            taken.push(took_ms);
        }
        rows.push((name, taken));
    }
    // While all downloads move.
    browser.script("location.hash = '#/downloads'; measured.updates = []; measured.busy = [];", &[])?;
    let body = "return new Promise((done) => setTimeout(() => done(measured), 10000));";
    let measured = browser.script(body, &[])?;
    let numbers =
        |of: &Value| of.as_array().map(|all| all.iter().filter_map(Value::as_f64).collect::<Vec<_>>());
    rows.push((
        "next frame after an event of all downloads",
        numbers(&measured["updates"]).unwrap_or_default(),
    ));
    let busy = numbers(&measured["busy"]).unwrap_or_default().into_iter().fold(0.0, f64::max);
    print(bench, &mut rows, busy);
    late.iter().for_each(|line| eprintln!("{line}"));
    drop(browser);
    runtime.block_on(server.close());
    Ok(())
}

fn print(bench: &PageBench, rows: &mut [(&str, Vec<f64>)], busy: f64) {
    for (_, taken) in rows.iter_mut() {
        taken.sort_by(f64::total_cmp);
    }
    let median = |taken: &[f64]| taken.get(taken.len() / 2).copied().unwrap_or(f64::NAN);
    let most = |taken: &[f64]| taken.last().copied().unwrap_or(f64::NAN);
    if bench.json {
        let steps = rows.iter().map(|(name, taken)| json!({ "step": name, "times": taken.len(), "median_ms": median(taken), "most_ms": most(taken) }));
        println!("{}", json!({ "steps": steps.collect::<Vec<_>>(), "busy_most_ms": busy }));
        return;
    }
    println!("{} groups, {} files, {} running downloads", bench.groups, bench.files, bench.downloads);
    println!("{:<46} {:>6} {:>10} {:>10}", "until it is painted", "times", "median ms", "most ms");
    for (name, taken) in rows.iter() {
        println!("{name:<46} {:>6} {:>10.1} {:>10.1}", taken.len(), median(taken), most(taken));
    }
    println!("longest time the page was busy while all downloads moved: {busy:.0} ms (0: never above 50)");
}
