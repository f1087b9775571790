//! What happens in a drill, in order. The members are `peerage client --json` processes, as a user's script would start.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use peerage_drive::{Client, ClientOptions, DriveError, free_addresses, quote};
use peerage_link::list::{TrackerEntry, pin_path};
use tempfile::TempDir;

use super::Args;
use super::report::{Report, Step};
use crate::commands::cluster::Failed;
use crate::commands::cluster::ask::Operator;
use crate::commands::cluster::status::agreed;
use crate::demo::Registry;

/// How long a tracker may take to stop, beyond the requests that it finishes.
const STOP_MAX: Duration = Duration::from_secs(10);
/// How long it may take to come back after its time, and then to catch up.
const BACK_MAX: Duration = Duration::from_secs(30);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(200);
/// What the owner shares: a few pieces.
const FILE_BYTES: usize = 1 << 20;
/// How long a member's process may take to end.
const END_MAX: Duration = Duration::from_secs(10);

/// Takes the tracker away and does everything that members do.
pub async fn play(args: &Args, registry: &Registry) -> Result<Report, Failed> {
    let operator = Operator::load(&args.list)?;
    let entry = check(&operator, args).await?;
    let mut report = Report { tracker: format!("{} ({entry})", args.tracker), ..Report::default() };
    let stage = Stage::set(&operator, args, &entry, registry)?;
    // Threads of their own: members are driven by blocking calls.
    let (stage, steps) = blocking(move || stage.prepare()).await?;
    report.steps = steps;
    report.steps.push(step("tracker stops", false, stop(&operator, &entry, args.seconds)).await);
    if report.passed() {
        let since = Instant::now();
        let (stage, mut steps) = blocking(move || stage.go_on()).await?;
        // Whatever worked only proves something if the tracker was away to the end of it.
        if operator.is_up(&entry).await {
            let fault = format!(
                "it was back after {:.0} s, before the steps were through: use --seconds with more than {}",
                since.elapsed().as_secs_f64(),
                args.seconds
            );
            steps.push(Step {
                what: "tracker stays away".to_owned(),
                away: true,
                took: since.elapsed(),
                fault: Some(fault),
            });
        }
        report.steps.append(&mut steps);
        let grace = Duration::from_secs(args.seconds.into()) + BACK_MAX;
        report.steps.push(step("tracker comes back", false, back(&operator, &entry, grace)).await);
        report.steps.push(step("tracker has caught up", false, caught_up(&operator)).await);
        let (stage, mut steps) = blocking(move || stage.see_it_there()).await?;
        report.steps.append(&mut steps);
        report.left = blocking(move || stage.clean_up()).await?;
    }
    Ok(report)
}

/// Is this a cluster that may lose a tracker for a moment?
async fn check(operator: &Operator, args: &Args) -> Result<TrackerEntry, Failed> {
    let (count, list) = (operator.list.entries.len(), args.list.display());
    let Some(entry) = operator.list.entry(args.tracker).cloned() else {
        return Err(Failed::new(format!(
            "`{list}` has {count} trackers, so there is no number {}",
            args.tracker
        ))
        .code(2));
    };
    if count < 2 {
        return Err(Failed::new(format!("`{list}` has one tracker: without it nothing would go on"))
            .hint("a drill needs at least two; see docs/operators.md on how to add one"));
    }
    let asked = operator.ask_all().await;
    if asked.iter().all(|one| one.answer.is_err()) {
        return Err(Failed::new("no tracker answers").code(4));
    }
    match asked.iter().find_map(|one| one.answer.as_ref().err().map(|silence| (one, silence))) {
        Some((one, silence)) => Err(Failed::new(format!(
            "tracker {} ({}) is not up ({}): a drill begins with all of them",
            one.number,
            one.entry,
            silence.why()
        ))
        .hint(format!("`peerage cluster status {list}` says what to do"))),
        None => Ok(entry),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failed> + Send + 'static,
) -> Result<T, Failed> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Failed::new("the drill crashed"))?
}

async fn step(what: &str, away: bool, work: impl Future<Output = Result<(), String>>) -> Step {
    let begun = Instant::now();
    let fault = work.await.err();
    Step { what: what.to_owned(), away, took: begun.elapsed(), fault }
}

async fn stop(operator: &Operator, entry: &TrackerEntry, seconds: u32) -> Result<(), String> {
    operator.drill(entry, seconds).await.map_err(|silence| silence.why().to_owned())?;
    let until = Instant::now() + STOP_MAX;
    while operator.is_up(entry).await {
        if Instant::now() > until {
            return Err("it still answers".to_owned());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn back(operator: &Operator, entry: &TrackerEntry, within: Duration) -> Result<(), String> {
    let until = Instant::now() + within;
    while !operator.is_up(entry).await {
        if Instant::now() > until {
            return Err("it does not answer: look at it, and start it with `peerage tracker`".to_owned());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Vectors and digests of all trackers are equal.
async fn caught_up(operator: &Operator) -> Result<(), String> {
    let until = Instant::now() + BACK_MAX;
    loop {
        let asked = operator.ask_all().await;
        if asked.iter().all(|one| one.answer.is_ok()) && agreed(&asked) {
            return Ok(());
        }
        if Instant::now() > until {
            return Err("the trackers do not agree: see `peerage cluster status`".to_owned());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The members and their folder.
struct Stage {
    name: String,
    owner: Client,
    member: Client,
    /// Asks the tracker of the drill alone.
    witness: ClientOptions,
    registry: Registry,
    folder: TempDir,
}

impl Stage {
    fn set(
        operator: &Operator,
        args: &Args,
        entry: &TrackerEntry,
        registry: &Registry,
    ) -> Result<Self, Failed> {
        let folder = tempfile::Builder::new().prefix("peerage-drill-").tempdir().map_err(Failed::new)?;
        let mut nonce = [0; 4];
        getrandom::fill(&mut nonce).map_err(Failed::new)?;
        let name = format!("drill-{}", data_encoding::HEXLOWER.encode(&nonce));
        // Members ask the first tracker of their list first: here that is the one that goes away.
        let others = operator.list.entries.iter().filter(|other| *other != entry);
        let first: Vec<String> =
            std::iter::once(entry).chain(others).map(|entry| format!("{entry}\n")).collect();
        let all = list(folder.path().join("all.txt"), &first.concat(), &args.list)?;
        let only = list(folder.path().join("only.txt"), &format!("{entry}\n"), &args.list)?;
        let addresses = free_addresses(3).map_err(Failed::new)?;
        let program = std::env::current_exe().map_err(Failed::new)?;
        let options = |index: usize, list: &Path| ClientOptions {
            program: program.clone(),
            listen: addresses[index],
            list: list.to_owned(),
            data: folder.path().join(format!("data-{index}")),
        };
        let start = |who: &str, index| {
            let client = Client::start(who, &options(index, &all)).map_err(driven)?;
            registry.add(client.killer());
            Ok::<_, Failed>(client)
        };
        let (owner, member) = (start("owner", 0)?, start("member", 1)?);
        let witness = options(2, &only);
        Ok(Self { name, owner, member, witness, registry: registry.clone(), folder })
    }

    /// Before the tracker goes: one account and a group, made through it.
    fn prepare(mut self) -> Result<(Self, Vec<Step>), Failed> {
        let (name, password) = (self.name.clone(), self.password()?);
        let mut steps = Steps::new(false);
        let owner = &mut self.owner;
        steps.ask("create an account", owner, &format!("create_user {name}-a {password}"));
        steps.ask("log in", owner, &format!("login {name}-a {password}"));
        steps.ask("create a group", owner, &format!("create_group {name}"));
        Ok((self, steps.done))
    }

    /// While it is away: everything else.
    fn go_on(mut self) -> Result<(Self, Vec<Step>), Failed> {
        let (name, password) = (self.name.clone(), self.password()?);
        let file = self.folder.path().join("drill.bin");
        let mut content = vec![0; FILE_BYTES];
        blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut content);
        fs::write(&file, &content).map_err(Failed::new)?;
        let copies = self.folder.path().join("copies");
        fs::create_dir(&copies).map_err(Failed::new)?;
        let (owner, member) = (&mut self.owner, &mut self.member);
        let mut steps = Steps::new(true);
        steps.ask("read with an open session", owner, "list_groups");
        steps.ask("create an account", member, &format!("create_user {name}-b {password}"));
        steps.ask("log in", member, &format!("login {name}-b {password}"));
        steps.ask("ask to join", member, &format!("join_group {name}"));
        steps.ask("accept a member", owner, &format!("accept_request {name} {name}-b"));
        steps.ask("share a file", owner, &format!("upload_file {} {name}", argument(&file)));
        steps.ask(
            "start a download",
            member,
            &format!("download_file {name} drill.bin {}", argument(&copies)),
        );
        steps.ask("finish the download", member, &format!("wait {name} drill.bin --timeout 30"));
        steps.check("compare the copy", || match fs::read(copies.join("drill.bin")) {
            Ok(copy) if copy == content => Ok(()),
            Ok(_) => Err("it differs from the original".to_owned()),
            Err(error) => Err(error.to_string()),
        });
        steps.ask("log out", member, "logout");
        steps.ask("log in again", member, &format!("login {name}-b {password}"));
        Ok((self, steps.done))
    }

    /// Afterwards: the tracker alone serves what was written without it.
    fn see_it_there(self) -> Result<(Self, Vec<Step>), Failed> {
        let (name, password) = (self.name.clone(), self.password()?);
        let mut witness = Client::start("witness", &self.witness).map_err(driven)?;
        self.registry.add(witness.killer());
        let mut steps = Steps::new(false);
        steps.ask("log in through it alone", &mut witness, &format!("login {name}-b {password}"));
        steps.listed(
            "see the file through it alone",
            &mut witness,
            &format!("list_files {name}"),
            "drill.bin",
        );
        drop(witness.close(END_MAX));
        Ok((self, steps.done))
    }

    /// Closes the group, ends the members and removes their folder; tells what stays.
    fn clean_up(mut self) -> Result<String, Failed> {
        let name = self.name.clone();
        // The last one to leave closes it.
        let left =
            [&mut self.member, &mut self.owner].map(|client| client.must(&format!("leave_group {name}")));
        let closed = match left.into_iter().find_map(Result::err) {
            None => format!("the group {name} is closed"),
            Some(error) => format!("the group {name} could not be closed ({error})"),
        };
        drop(self.owner.close(END_MAX));
        drop(self.member.close(END_MAX));
        let path = self.folder.path().to_owned();
        let removed = match self.folder.close() {
            Ok(()) => String::new(),
            Err(error) => format!("; `{}` could not be removed ({error})", path.display()),
        };
        Ok(format!(
            "{closed}{removed}; the accounts {name}-a and {name}-b stay: nothing is ever deleted from the log"
        ))
    }

    /// Random, the same for both, kept in the folder only for as long as the drill.
    fn password(&self) -> Result<String, Failed> {
        let path = self.folder.path().join("password");
        if let Ok(password) = fs::read_to_string(&path) {
            return Ok(password);
        }
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(Failed::new)?;
        let password = data_encoding::HEXLOWER.encode(&bytes);
        fs::write(&path, &password).map_err(Failed::new)?;
        Ok(password)
    }
}

/// Steps until the first that fails: those behind it would say nothing.
struct Steps {
    away: bool,
    done: Vec<Step>,
}

impl Steps {
    fn new(away: bool) -> Self {
        Self { away, done: Vec::new() }
    }

    fn check(&mut self, what: &str, work: impl FnOnce() -> Result<(), String>) {
        if self.done.last().is_some_and(|step| step.fault.is_some()) {
            return;
        }
        let begun = Instant::now();
        let fault = work().err();
        self.done.push(Step { what: what.to_owned(), away: self.away, took: begun.elapsed(), fault });
    }

    fn ask(&mut self, what: &str, client: &mut Client, line: &str) {
        self.check(what, || client.must(line).map(|_| ()).map_err(|error| error.to_string()));
    }

    fn listed(&mut self, what: &str, client: &mut Client, line: &str, name: &str) {
        self.check(what, || {
            let reply = client.must(line).map_err(|error| error.to_string())?;
            match reply.column("name").contains(&name) {
                true => Ok(()),
                false => Err(format!("`{name}` is not among {:?}", reply.column("name"))),
            }
        });
    }
}

/// A list for the members, with the pin of the cluster beside it.
fn list(path: PathBuf, lines: &str, original: &Path) -> Result<PathBuf, Failed> {
    fs::write(&path, lines).map_err(Failed::new)?;
    // Without one they trust the first key that they see.
    if pin_path(original).exists() {
        fs::copy(pin_path(original), pin_path(&path)).map_err(Failed::new)?;
    }
    Ok(path)
}

fn argument(path: &Path) -> String {
    quote(&path.to_string_lossy())
}

fn driven(error: DriveError) -> Failed {
    Failed::new(error)
}
