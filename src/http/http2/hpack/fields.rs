//! The fields of one head, as they were read.

use crate::http::answer::Headers;

/// Names and values; the memory is kept from one head to the next.
#[derive(Debug, Default)]
pub(in crate::http::http2) struct Fields {
    bytes: Vec<u8>,
    /// Where each name and each value ends; a name begins where the value before it ends.
    ends: Vec<(usize, usize)>,
}

impl Fields {
    pub(in crate::http::http2) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// Adds a field that a function writes: first the name, of which it tells the length.
    pub(super) fn push<E>(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<usize, E>,
    ) -> Result<(&[u8], &[u8]), E> {
        let begin = self.bytes.len();
        let name_end = begin + write(&mut self.bytes)?;
        self.ends.push((name_end, self.bytes.len()));
        Ok((&self.bytes[begin..name_end], &self.bytes[name_end..]))
    }

    pub(in crate::http::http2) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut begin = 0;
        self.ends.iter().map(move |&(name_end, end)| {
            let name = &self.bytes[begin..name_end];
            begin = end;
            (name, &self.bytes[name_end..end])
        })
    }

    /// How many bytes they have.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }
}

impl Headers for Fields {
    fn first(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find(|(known, _)| *known == name.as_bytes())
            .map(|(_, value)| value)
    }
}
