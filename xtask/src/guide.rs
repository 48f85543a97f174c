//! The built guide: what its pages load, and the documentation of the crates beside them.

use std::io;
use std::path::{Path, PathBuf};

/// The pages of a folder and those below it, with their paths.
pub(crate) fn pages(folder: &Path) -> io::Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(pages(&path)?);
        } else if path.extension().is_some_and(|ending| ending == "html") {
            let page = std::fs::read_to_string(&path)?;
            found.push((path, page));
        }
    }
    Ok(found)
}

/// The first thing on the network that a page loads when it is opened: a script, a style, a font or a picture. Links may lead anywhere.
pub(crate) fn loaded(page: &str) -> Option<&str> {
    page.split('<').skip(1).find_map(|tag| {
        let attribute = if tag.starts_with("link ") { "href" } else { "src" };
        let at = tag.find(&format!("{attribute}=\""))? + attribute.len() + 2;
        let address = tag[at..].split('"').next()?;
        (address.starts_with("http") || address.starts_with("//")).then_some(address)
    })
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::loaded;

    #[test]
    fn what_a_page_loads_is_found_and_links_are_not() {
        let local = "<link rel=\"stylesheet\" href=\"a.css\"><script src=\"b.js\"></script><a href=\"https://c.org\">c</a>";
        assert_eq!(loaded(local), None);
        let script = format!("{local}<script src=\"https://d.org/e.js\"></script>");
        assert_eq!(loaded(&script), Some("https://d.org/e.js"));
        assert_eq!(loaded("<link rel=\"preconnect\" href=\"//f.org\">"), Some("//f.org"));
        assert_eq!(loaded("<img alt=\"g\" src=\"http://h.org/i.png\">"), Some("http://h.org/i.png"));
    }
}
