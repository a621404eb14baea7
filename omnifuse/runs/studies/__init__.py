"""Studies: the tables of papers made again, each by one command, over seeds, on the landscape or on a data set of one's own."""
