//! The control socket as both ends see it: the Varlink interface and its types.
