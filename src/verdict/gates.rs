//! Which gates a run is judged by: those of its scenario, those against its baseline, and new ones.

use super::compare;
use crate::gate::{self, Gate};
use crate::record::{Header, RunRecord};
use std::fmt;

/// What a gate looks at: one phase, or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The phase's position in the plan; `None` for the whole run.
    pub phase: Option<usize>,
    /// The phase's name; empty for the whole run.
    pub name: String,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.phase.is_some() {
            &self.name
        } else {
            "run"
        })
    }
}

/// A gate to be judged.
#[derive(Clone, Debug, PartialEq)]
pub struct ScopedGate {
    /// What it looks at.
    pub scope: Scope,
    /// As the user wrote it.
    pub text: String,
    /// What it means.
    pub gate: Gate,
}

/// The gates of a record, as they were set when it was made, and those against its baseline.
///
/// # Errors
/// When one of them cannot be read, which means that another version wrote the record.
pub fn gates_of(record: &RunRecord) -> Result<Vec<ScopedGate>, String> {
    let stated = gates_in(&record.header)?;
    let (of_run, of_phases): (Vec<_>, Vec<_>) = stated
        .into_iter()
        .partition(|gate| gate.scope.phase.is_none());
    let mut of_phases = of_phases.into_iter().peekable();
    let mut all = Vec::new();
    for (index, phase) in record.header.phases.iter().enumerate() {
        let scope = Scope {
            phase: Some(index),
            name: phase.name.clone(),
        };
        while let Some(gate) = of_phases.next_if(|gate| gate.scope == scope) {
            all.push(gate);
        }
        all.extend(compare::gates(record, &scope));
    }
    all.extend(of_run);
    Ok(all)
}

/// The gates that a scenario states, from the header of its journal: those of phases, then those of the
/// whole run.
///
/// # Errors
/// When one of them cannot be read, which means that another version wrote the header.
pub fn gates_in(header: &Header) -> Result<Vec<ScopedGate>, String> {
    let mut all = Vec::new();
    let read = |scope: &Scope, text: &String| {
        let gate = gate::parse_with(text, gate::Named::Any)
            .map_err(|error| format!("the gate `{text}` cannot be read: {}", error.message))?;
        Ok::<_, String>(ScopedGate {
            scope: scope.clone(),
            text: text.clone(),
            gate,
        })
    };
    for (index, phase) in header.phases.iter().enumerate() {
        let scope = Scope {
            phase: Some(index),
            name: phase.name.clone(),
        };
        for text in &phase.gates {
            all.push(read(&scope, text)?);
        }
    }
    let scope = Scope {
        phase: None,
        name: String::new(),
    };
    for text in &header.gates {
        all.push(read(&scope, text)?);
    }
    Ok(all)
}

/// A gate on a finished run: `<gate>` for all of it, `<phase>: <gate>` for one phase.
///
/// # Errors
/// When it cannot be read, in words.
pub fn gate_on(record: &RunRecord, text: &str) -> Result<ScopedGate, String> {
    let phase = text.split_once(':').and_then(|(name, gate)| {
        let name = name.trim();
        let known = |phase: &crate::record::PhaseInfo| phase.name == name;
        let index = record.header.phases.iter().position(known)?;
        Some((index, name, gate.trim()))
    });
    let (scope, text) = match phase {
        Some((index, name, gate)) => (
            Scope {
                phase: Some(index),
                name: name.to_owned(),
            },
            gate,
        ),
        None => (
            Scope {
                phase: None,
                name: String::new(),
            },
            text.trim(),
        ),
    };
    let gate = gate::parse(text).map_err(|error| {
        let hint = error
            .hint
            .map_or_else(String::new, |hint| format!("; {hint}"));
        format!("the gate `{text}` cannot be read: {}{hint}", error.message)
    })?;
    Ok(ScopedGate {
        scope,
        text: text.to_owned(),
        gate,
    })
}
