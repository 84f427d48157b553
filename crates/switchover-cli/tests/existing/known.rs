//! What the tests know of each real application in `data/applications`: its schemas, and what its administrator has to say.
//!
//! Absent: what is done with it, and what it answers, which differs between a migration and a live run.

use crate::fill::Words;

/// An application, and what its administrator has to say.
pub(crate) struct Known {
    pub(crate) source: &'static str,
    pub(crate) target: &'static str,
    /// `switchover.toml`.
    pub(crate) mapping: &'static str,
    pub(crate) said: &'static [&'static str],
    /// Tables that stay as they are: a migration history, and what the target makes by itself.
    pub(crate) left: &'static [&'static str],
    /// Words of columns whose schema does not list them.
    pub(crate) words: Words,
}

/// A file of `data/applications`.
#[macro_export]
macro_rules! application_file {
    ($name:literal, $file:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/applications/", $name, "/", $file))
    };
}

const REPLACE: &[&str] = &["--on-conflict", "replace"];

pub(crate) const OPTUNA: Known = Known {
    source: application_file!("optuna", "source.sql"),
    target: application_file!("optuna", "target.sql"),
    mapping: "",
    said: REPLACE,
    left: &["alembic_version"],
    words: &[
        ("trials.state", &["RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING"]),
        ("study_directions.direction", &["MINIMIZE", "MAXIMIZE", "NOT_SET"]),
        ("trial_values.value_type", &["FINITE", "INF_POS", "INF_NEG"]),
        ("trial_intermediate_values.intermediate_value_type", &["FINITE", "NAN"]),
    ],
};

pub(crate) const JUPYTERHUB: Known = Known {
    source: application_file!("jupyterhub", "source.sql"),
    target: application_file!("jupyterhub", "target.sql"),
    mapping: "",
    said: REPLACE,
    left: &["alembic_version"],
    words: &[],
};

pub(crate) const MLFLOW: Known = Known {
    source: application_file!("mlflow", "source.sql"),
    target: application_file!("mlflow", "target.sql"),
    mapping: "",
    said: REPLACE,
    left: &["alembic_version"],
    words: &[],
};

pub(crate) const WAGTAIL: Known = Known {
    source: application_file!("wagtail", "source.sql"),
    target: application_file!("wagtail", "target.sql"),
    mapping: application_file!("wagtail", "switchover.toml"),
    said: &[],
    left: &["django_migrations", "wagtailsearch_indexentry"],
    words: &[],
};

/// What the source holds is in its file already.
pub(crate) const SHIORI: Known = Known {
    source: application_file!("shiori", "source.sql"),
    target: application_file!("shiori", "target.sql"),
    mapping: application_file!("shiori", "switchover.toml"),
    said: &[],
    left: &[],
    words: &[],
};
