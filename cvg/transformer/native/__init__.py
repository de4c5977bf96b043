"""One code of each video through a transformer in C++: the same numbers sooner, on CPUs."""
