"""Values for a schema from what was read: form fields, labels beside their values, tables. Pure: no model."""
