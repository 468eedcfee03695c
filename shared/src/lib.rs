//! Words that both servers use.
