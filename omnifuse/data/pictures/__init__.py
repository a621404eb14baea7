"""Pictures of places. Importing it imports matplotlib: do so where a picture is asked for."""
