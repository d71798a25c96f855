//! JSON pointers (RFC 6901).

use std::fmt;

/// Where in a JSON value something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer {
    text: String,
    keys: Vec<String>,
}

impl Pointer {
    /// Reads a pointer: empty for the whole value, else beginning with `/`.
    pub fn parse(text: &str) -> Option<Self> {
        let keys = match text.strip_prefix('/') {
            None if text.is_empty() => Vec::new(),
            None => return None,
            Some(rest) => rest
                .split('/')
                .map(|key| key.replace("~1", "/").replace("~0", "~"))
                .collect(),
        };
        Some(Self {
            text: text.to_owned(),
            keys,
        })
    }

    /// Its keys, from the outermost.
    pub(super) fn keys(&self) -> &[String] {
        &self.keys
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_the_whole() {
        assert_eq!(Pointer::parse("").unwrap().keys(), [""; 0]);
        assert_eq!(
            Pointer::parse("/a~1b/0/~01").unwrap().keys(),
            ["a/b", "0", "~1"]
        );
        assert_eq!(Pointer::parse("a"), None);
    }
}
