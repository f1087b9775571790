//! Command blocks of a text, and whether what came out is as shown.
//!
//! The first word behind the fence is the language, the second who runs the block:
//! * `console ana`: lines that begin with `$ ` are commands, the others what they print, standard output and error
//!   together. `…` stands for anything in a line, and for any lines when it is all of one.
//! * `sh ana`: a script; each line must succeed.
//! * `text ana`: what Ana types into the shell of `peerage client` that a block before it started, behind `> `, and the
//!   replies, without hints.
//!
//! A block that cannot be run has a line above it that says why: `<!-- not run: installs a service -->`.

/// How a step is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By `sh`, and what it prints is shown.
    Shown,
    /// By `sh`.
    Script,
    /// Typed into the shell that runs.
    Typed,
}

/// What is run, by whom, and the lines that the text shows below it.
#[derive(Debug)]
pub struct Step {
    pub person: String,
    pub how: How,
    pub command: String,
    pub shown: Vec<String>,
}

/// What lies between two fences.
#[derive(Debug)]
pub struct Block {
    pub language: String,
    pub person: Option<String>,
    /// Why it is not run.
    pub not_run: Option<String>,
    lines: Vec<String>,
}

/// All blocks of a text.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let (mut inside, mut before) = (false, "");
    for line in text.lines() {
        match (line.strip_prefix("```"), inside) {
            (Some(info), false) => {
                let mut words = info.split(' ').map(str::to_owned);
                let language = words.next().unwrap_or_default();
                let not_run =
                    before.strip_prefix("<!-- not run: ").and_then(|line| line.strip_suffix(" -->"));
                let not_run = not_run.map(str::to_owned);
                blocks.push(Block { language, person: words.next(), not_run, lines: Vec::new() });
                inside = true;
            }
            (Some(_), true) => inside = false,
            (None, true) => blocks.last_mut().unwrap().lines.push(line.to_owned()),
            (None, false) => {}
        }
        before = line;
    }
    blocks
}

/// Whether a command goes on until it is ended.
pub fn stays(command: &str) -> bool {
    ["peerage tracker ", "peerage up ", "peerage client "].iter().any(|start| command.starts_with(start))
}

/// The steps of a text.
pub fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for block in blocks(text) {
        let Some(person) = block.person else { continue };
        let mut add = |how, command: &str| {
            let (person, command) = (person.clone(), command.to_owned());
            steps.push(Step { person, how, command, shown: Vec::new() });
        };
        match &*block.language {
            "sh" => {
                // Variables live as long as a script does, and so does what stays.
                for part in block.lines.chunk_by(|a, b| !stays(a) && !stays(b)) {
                    add(How::Script, &part.join("\n"));
                }
            }
            language => {
                let (how, prompt) = if language == "text" { (How::Typed, "> ") } else { (How::Shown, "$ ") };
                for line in &block.lines {
                    match line.strip_prefix(prompt) {
                        Some(command) => {
                            let (person, command) = (person.clone(), command.to_owned());
                            steps.push(Step { person, how, command, shown: Vec::new() });
                        }
                        None => steps.last_mut().unwrap().shown.push(line.clone()),
                    }
                }
            }
        }
    }
    steps
}

/// Whether a line is as the pattern says, in which `…` stands for anything.
fn fits(pattern: &str, line: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('…') else { return pattern == line };
    let Some(mut left) = line.strip_prefix(first) else { return false };
    let parts: Vec<&str> = rest.split('…').collect();
    for part in &parts[..parts.len() - 1] {
        let Some(at) = left.find(part) else { return false };
        left = &left[at + part.len()..];
    }
    left.ends_with(parts[parts.len() - 1])
}

/// Whether all lines are as shown, in order.
pub fn all_fit(shown: &[String], lines: &[&str]) -> bool {
    match (shown.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((pattern, rest)), _) if pattern == "…" => {
            all_fit(rest, lines) || lines.split_first().is_some_and(|(_, lines)| all_fit(shown, lines))
        }
        (Some((pattern, shown)), Some((line, lines))) => fits(pattern, line) && all_fit(shown, lines),
        _ => false,
    }
}

#[test]
fn patterns() {
    assert!(fits("a … c …", "a b c d") && fits("…", "") && fits("x", "x"));
    assert!(!fits("a … c", "a b d") && !fits("x", "xy") && !fits("a…", "b"));
    let shown = ["a", "…", "c"].map(str::to_owned);
    assert!(all_fit(&shown, &["a", "c"]) && all_fit(&shown, &["a", "b", "b", "c"]));
    assert!(!all_fit(&shown, &["a", "b"]) && !all_fit(&shown, &["c"]));
}

#[test]
fn blocks_become_steps() {
    let text = "```sh ana\na=1\necho $a\npeerage tracker l 1\nb\n```\n<!-- not run: slow -->\n```sh\nx\n```\n\
                ```text ana\n> y\nz\n```\n```console ben\n$ c\n```\n";
    let found: Vec<_> =
        steps(text).into_iter().map(|step| (step.how, step.command, step.shown.len())).collect();
    let expected = [
        (How::Script, "a=1\necho $a", 0),
        (How::Script, "peerage tracker l 1", 0),
        (How::Script, "b", 0),
        (How::Typed, "y", 1),
        (How::Shown, "c", 0),
    ];
    assert_eq!(found, expected.map(|(how, command, shown)| (how, command.to_owned(), shown)));
    assert_eq!(blocks(text)[1].not_run.as_deref(), Some("slow"));
}
