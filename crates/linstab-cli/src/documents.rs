//! Completions and the manual: printed, or installed where shells and `man` look.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;
use linstab_driver::files::write_atomically;

use crate::arguments::Arguments;
use crate::say;

/// Where shells look for completions below a data folder.
const COMPLETIONS: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions/linstab"),
    (Shell::Zsh, "zsh/site-functions/_linstab"),
    (Shell::Fish, "fish/vendor_completions.d/linstab.fish"),
];

pub(crate) fn completions(shell: Shell) -> anyhow::Result<ExitCode> {
    say(&script(shell))?;
    Ok(ExitCode::SUCCESS)
}

/// One page for the program and each of its commands.
pub(crate) fn man_page() -> anyhow::Result<ExitCode> {
    say(&manual()?.into_iter().map(|(_, page)| page).collect::<String>())?;
    Ok(ExitCode::SUCCESS)
}

/// Writes completions of the shells that look below a data folder, and a page of the manual for each command.
pub(crate) fn install(folder: &Path) -> anyhow::Result<ExitCode> {
    let scripts = COMPLETIONS.map(|(shell, place)| (place.to_owned(), script(shell)));
    let pages = manual()?.into_iter().map(|(name, page)| (format!("man/man1/{name}.1"), page));
    let mut said = String::new();
    for (place, text) in scripts.into_iter().chain(pages) {
        let path = folder.join(place);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        }
        write_atomically(&path, text.as_bytes())?;
        said.push_str(&path.display().to_string());
        said.push('\n');
    }
    say(&said)?;
    Ok(ExitCode::SUCCESS)
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "linstab", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Pages by the names of commands, that of the program first.
fn manual() -> anyhow::Result<Vec<(String, String)>> {
    let mut program = Arguments::command();
    program.build();
    let shown = program.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let commands: Vec<clap::Command> = std::iter::once(program.clone()).chain(shown).collect();
    let page = |command: clap::Command| {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).context("cannot render the manual")?;
        Ok((name, with_literal_examples(&String::from_utf8_lossy(&page))))
    };
    commands.into_iter().map(page).collect()
}

/// Examples and tables after the options keep their lines: the renderer would have them filled.
fn with_literal_examples(pages: &str) -> String {
    let (mut text, mut literal) = (String::new(), false);
    for line in pages.lines() {
        let heading = line.starts_with(".SH") || line.starts_with(".TH") || line.starts_with(".ie");
        if literal && heading {
            text.push_str(".fi\n");
            literal = false;
        }
        if line == ".SH EXTRA" {
            text.push_str(".SH EXAMPLES AND NOTES\n.nf\n");
            literal = true;
        } else {
            text.push_str(line);
            text.push('\n');
        }
    }
    if literal {
        text.push_str(".fi\n");
    }
    text
}
