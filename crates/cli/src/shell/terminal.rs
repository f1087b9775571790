//! The shell for people: line editing, history, completion, hints, progress bars.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use peerage_local::command::{Spec, command_word};
use peerage_local::reply::{close_lines, detailed, notice_line};
use peerage_node::client::Node;
use rustyline::error::ReadlineError;
use rustyline::history::{DefaultHistory, History};
use rustyline::{Config, Editor, ExternalPrinter};
use tokio::sync::{mpsc, oneshot};

use super::complete::ShellHelper;
use super::run::run_line;

use crate::progress::Progress;
use crate::signals;

/// Lines of history that are kept.
const HISTORY_LINES_MAX: usize = 1_000;

/// What the line editor hands over.
enum Typed {
    Line(String),
    /// Ctrl-C: the line is dropped.
    Dropped,
    /// Ctrl-D, or the terminal is gone.
    End,
}

/// A prompt to show, and where the answer goes.
struct Ask {
    prompt: String,
    answer: oneshot::Sender<Typed>,
}

/// Runs the shell until `exit` or Ctrl-D. 0 unless downloads were cut short.
pub async fn run(node: Arc<Node>) -> anyhow::Result<ExitCode> {
    let (asks, mut printer) = start_editor(&node)?;
    let mut notices = node.notices();
    let notices = tokio::spawn(async move {
        use tokio::sync::broadcast::error::RecvError;
        loop {
            match notices.recv().await {
                // A line that cannot be printed is lost with the terminal.
                Ok(notice) => drop(printer(format!("{}\n", notice_line(&notice)))),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            }
        }
    });
    println!("Peerage. `help` lists the commands, Tab completes them.");
    if !node.is_logged_in() {
        hint("create_user <user_id> <passwd>, then login <user_id> <passwd>");
    }
    let mut stop = signals::terminate();
    loop {
        let typed = tokio::select! {
            typed = ask(&asks, prompt(&node)) => typed,
            _ = stop.recv() => Typed::End,
        };
        let line = match typed {
            Typed::Line(line) => line,
            Typed::Dropped => continue,
            Typed::End => break,
        };
        if !answer(&node, &line).await {
            break;
        }
    }
    let report = node.close().await;
    notices.abort();
    for line in close_lines(&report) {
        eprintln!("{line}");
    }
    Ok(if report.downloads_cut_short.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs one line and prints its reply; false when the shell ends. Ctrl-C gives the command up.
async fn answer(node: &Node, line: &str) -> bool {
    let outcome = tokio::select! {
        outcome = run_line(node, line, Progress::Bars) => outcome,
        _ = tokio::signal::ctrl_c() => {
            match command_word(line).as_str() {
                "wait" => eprintln!("no longer waiting; downloads go on, `show_downloads` shows how far they are"),
                "join" => eprintln!("no longer waiting; a request that was sent stays"),
                word => eprintln!("{word} given up"),
            }
            return true;
        }
    };
    let Some(outcome) = outcome else { return true };
    println!("{}", detailed(&outcome));
    match outcome {
        Ok(done) => {
            if let Some(next) = &done.next {
                hint(next);
            }
            !done.ends
        }
        Err(_) => true,
    }
}

/// What to do next, dimmed where that is wanted.
fn hint(text: &str) {
    if std::env::var_os("NO_COLOR").is_some() {
        eprintln!("hint: {text}");
    } else {
        eprintln!("\x1b[2mhint: {text}\x1b[0m");
    }
}

fn prompt(node: &Node) -> String {
    match node.user_name() {
        Some(user) => format!("{user}> "),
        None => "> ".to_owned(),
    }
}

async fn ask(asks: &mpsc::Sender<Ask>, prompt: String) -> Typed {
    let (answer, typed) = oneshot::channel();
    if asks.send(Ask { prompt, answer }).await.is_err() {
        return Typed::End;
    }
    typed.await.unwrap_or(Typed::End)
}

type Printer = Box<dyn FnMut(String) -> rustyline::Result<()> + Send>;

/// The editor blocks, so it lives on a thread of its own, which nothing waits for.
fn start_editor(node: &Arc<Node>) -> anyhow::Result<(mpsc::Sender<Ask>, Printer)> {
    let config = Config::builder()
        .max_history_size(HISTORY_LINES_MAX)?
        .history_ignore_space(true)
        .auto_add_history(false)
        .build();
    let mut editor: Editor<ShellHelper, DefaultHistory> = Editor::with_config(config)?;
    editor.set_helper(Some(ShellHelper::new(Arc::clone(node))));
    let history = node.data_path().join("history");
    // The first start has no history; an unreadable one is not worth refusing to work.
    let _ = editor.load_history(&history);
    let mut printer = editor.create_external_printer()?;
    let (asks, mut questions) = mpsc::channel::<Ask>(1);
    std::thread::spawn(move || {
        while let Some(Ask { prompt, answer }) = questions.blocking_recv() {
            let typed = match editor.readline(&prompt) {
                Ok(line) => {
                    remember(&mut editor, &history, &line);
                    Typed::Line(line)
                }
                Err(ReadlineError::Interrupted) => Typed::Dropped,
                Err(_) => Typed::End,
            };
            if answer.send(typed).is_err() {
                break;
            }
        }
    });
    Ok((asks, Box::new(move |line| printer.print(line))))
}

/// Keeps the line, unless it holds a password.
fn remember<H: History>(editor: &mut Editor<ShellHelper, H>, history: &Path, line: &str) {
    if !may_be_kept(line) {
        return;
    }
    if editor.add_history_entry(line).unwrap_or(false) {
        let path: PathBuf = history.to_owned();
        // Without a history file the shell still works.
        let _ = editor.append_history(&path);
    }
}

/// False for every line that may hold a password, however it is misspelt or quoted.
fn may_be_kept(line: &str) -> bool {
    let word = command_word(line);
    let plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    plain && Spec::of_word(&word).is_some_and(|spec| !spec.is_secret())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_never_kept() {
        for line in
            ["login a p", "  create_user a p", "'login' a p", "Login a p", "logn a p", "lo\\gin a p", ""]
        {
            assert!(!may_be_kept(line), "{line}");
        }
        for line in ["list_groups", " upload_file x g", "wait --timeout 3"] {
            assert!(may_be_kept(line), "{line}");
        }
    }
}
