"""From whole frames to crops of people: films, boxes, a detector, the table that a gallery takes."""
