"""The sweep: from options to a plan of cells, and from each cell to stored scores."""
