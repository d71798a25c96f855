//! Looks up a few places in a JSON text without building the value: one pass, and what no pointer
//! leads to is skipped.

use super::pointer::Pointer;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// What stands at a place.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Found {
    /// Nothing, `null` or `false`, or an empty string, array or object.
    #[default]
    Nothing,
    /// A text that is not empty.
    Text,
    /// A whole number that is not negative.
    Whole(u64),
    /// Anything else.
    Other,
}

/// What has been looked up; its memory is used again and again.
#[derive(Clone, Debug, Default)]
pub(super) struct Lookup {
    /// What stands at each place.
    pub(super) found: Vec<Found>,
    /// The text at the one place where it is asked for.
    pub(super) text: String,
}

/// Looks up each pointer, and keeps the text at the place of the `wanted` one.
///
/// # Errors
/// When the text is not JSON.
pub(super) fn find(
    json: &[u8],
    pointers: &[Pointer],
    wanted: Option<usize>,
    lookup: &mut Lookup,
) -> Result<(), serde_json::Error> {
    lookup.found.clear();
    lookup.found.resize(pointers.len(), Found::Nothing);
    lookup.text.clear();
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let place = Place {
        pointers,
        leading_here: all(pointers),
        depth: 0,
        wanted,
        lookup,
    };
    place.deserialize(&mut deserializer)?;
    deserializer.end()
}

/// A set of pointers, by their positions.
type Set = u32;
/// More pointers than fit into a set are not looked up.
pub(super) const MOST_POINTERS: usize = Set::BITS as usize;

fn all(pointers: &[Pointer]) -> Set {
    debug_assert!(
        pointers.len() <= MOST_POINTERS,
        "checked when shapes are made"
    );
    (0..pointers.len()).fold(0, |set, position| set | 1 << position)
}

/// One value in the text, with the pointers that lead to it or through it.
struct Place<'p, 'f> {
    pointers: &'p [Pointer],
    leading_here: Set,
    depth: usize,
    wanted: Option<usize>,
    lookup: &'f mut Lookup,
}

/// The positions in a set.
fn positions(set: Set) -> impl Iterator<Item = usize> {
    (0..MOST_POINTERS).filter(move |position| set & 1 << position != 0)
}

impl Place<'_, '_> {
    /// Those of the pointers that lead here for which this holds.
    fn those(&self, holds: impl Fn(&[String]) -> bool) -> Set {
        positions(self.leading_here)
            .filter(|&position| holds(self.pointers[position].keys()))
            .fold(0, |set, position| set | 1 << position)
    }

    /// The pointers that go on to this key.
    fn towards(&self, key: &str) -> Set {
        self.those(|keys| keys.get(self.depth).is_some_and(|next| next == key))
    }

    /// The pointers that go on to this item of an array.
    fn towards_item(&self, index: usize) -> Set {
        self.those(|keys| {
            let next = keys.get(self.depth);
            next.is_some_and(|next| index_of(next) == Some(index))
        })
    }

    /// Notes this value for the pointers that end here; whether the wanted one is among them.
    fn note(&mut self, value: Found) -> bool {
        let ending = self.those(|keys| keys.len() == self.depth);
        for position in positions(ending) {
            self.lookup.found[position] = value;
        }
        self.wanted
            .is_some_and(|wanted| positions(ending).any(|position| position == wanted))
    }

    fn inner(&mut self, leading_there: Set) -> Place<'_, '_> {
        Place {
            pointers: self.pointers,
            leading_here: leading_there,
            depth: self.depth + 1,
            wanted: self.wanted,
            lookup: self.lookup,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.leading_here == 0 {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(drop);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Place<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: de::Error>(mut self, value: bool) -> Result<(), E> {
        if value {
            self.note(Found::Other);
        }
        Ok(())
    }

    fn visit_u64<E: de::Error>(mut self, value: u64) -> Result<(), E> {
        self.note(Found::Whole(value));
        Ok(())
    }

    fn visit_i64<E: de::Error>(mut self, _: i64) -> Result<(), E> {
        self.note(Found::Other);
        Ok(())
    }

    fn visit_f64<E: de::Error>(mut self, _: f64) -> Result<(), E> {
        self.note(Found::Other);
        Ok(())
    }

    fn visit_str<E: de::Error>(mut self, value: &str) -> Result<(), E> {
        if !value.is_empty() && self.note(Found::Text) {
            self.lookup.text.clear();
            self.lookup.text.push_str(value);
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0usize;
        loop {
            let towards = self.towards_item(index);
            if items.next_element_seed(self.inner(towards))?.is_none() {
                break;
            }
            index += 1;
        }
        if index > 0 {
            self.note(Found::Other);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let mut any = false;
        while let Some(towards) = members.next_key_seed(Key(&self))? {
            any = true;
            members.next_value_seed(self.inner(towards))?;
        }
        if any {
            self.note(Found::Other);
        }
        Ok(())
    }
}

/// The position in an array that a key of a pointer names (RFC 6901, section 4).
fn index_of(key: &str) -> Option<usize> {
    let has_one_form = key == "0" || !key.starts_with(['0', '+']);
    key.parse().ok().filter(|_| has_one_form)
}

/// The key of a member: which pointers go on through it.
struct Key<'a, 'p, 'f>(&'a Place<'p, 'f>);

impl<'de> DeserializeSeed<'de> for Key<'_, '_, '_> {
    type Value = Set;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Set, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_, '_> {
    type Value = Set;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<Set, E> {
        Ok(self.0.towards(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(json: &str, pointers: &[&str], wanted: Option<usize>) -> Lookup {
        let pointers: Vec<Pointer> = pointers
            .iter()
            .map(|text| Pointer::parse(text).unwrap())
            .collect();
        let mut lookup = Lookup::default();
        find(json.as_bytes(), &pointers, wanted, &mut lookup).unwrap();
        lookup
    }

    #[test]
    fn finds_what_is_there_in_one_pass() {
        let json = r#"{"id": {"x": [1, {"y": 2}]}, "choices": [{"delta": {"content": "a\nb"}}, {"delta": {"content": "no"}}], "usage": {"n": 7}}"#;
        let pointers = [
            "/choices/0/delta/content",
            "/usage/n",
            "/usage",
            "/missing",
            "/choices/1/delta",
            "",
            "/choices/01",
        ];
        let lookup = look(json, &pointers, Some(0));
        assert_eq!(lookup.text, "a\nb");
        assert_eq!(look(json, &pointers, Some(1)).text, "");
        assert_eq!(
            lookup.found,
            [
                Found::Text,
                Found::Whole(7),
                Found::Other,
                Found::Nothing,
                Found::Other,
                Found::Other,
                Found::Nothing,
            ]
        );
    }

    #[test]
    fn what_is_empty_is_nothing() {
        let json = r#"{"null": null, "false": false, "text": "", "list": [], "object": {}, "true": true, "half": 0.5, "minus": -1, "zero": 0}"#;
        let pointers = [
            "/null", "/false", "/text", "/list", "/object", "/true", "/half", "/minus", "/zero",
        ];
        let found = look(json, &pointers, None).found;
        assert!(
            found[..5].iter().all(|found| *found == Found::Nothing),
            "{found:?}"
        );
        assert_eq!(found[5..8], [Found::Other, Found::Other, Found::Other]);
        assert_eq!(found[8], Found::Whole(0));
    }

    #[test]
    fn what_is_not_json_is_told() {
        let mut lookup = Lookup::default();
        for text in ["", "{", "[DONE]", "{} {}"] {
            assert!(
                find(text.as_bytes(), &[], None, &mut lookup).is_err(),
                "{text}"
            );
        }
    }
}
