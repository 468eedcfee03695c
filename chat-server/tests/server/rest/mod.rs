//! REST as its callers see it: a listener on this computer, the real store in a folder, real tokens.
//!
//! Every answer of a documented route is checked against the document on the way; `contract` then
//! asks for each documented answer.

mod accounts;
mod change;
mod contract;
mod guard;
mod history;
mod list;
mod marks;
mod matrix;
mod notifications;
mod push;
mod raw;
mod shapes;
mod site;
