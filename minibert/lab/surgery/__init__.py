"""Surgery on a model: parts swapped, layers rearranged, heads taken out, sizes changed; held against what it was, and saved."""
