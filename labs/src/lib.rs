#![doc = include_str!("../README.md")]

mod check;
mod exercise;
mod export;
mod registration;
mod template;

pub use check::{Judged, Observation};
pub use exercise::{
    AnswerRule, Change, Check, Exercise, ExerciseError, Expected, Hint, Image, Namespace, Patch,
    Pod, PolicyRule, Registered, Settings, Signer, Signing, Task, What, Where, Wrong, exercises,
    find,
};
pub use export::{Exported, ck_x, killercoda};
pub use registration::{Hook, RegistrationError, patch, read_registration};
pub use template::{UnknownName, Values};
