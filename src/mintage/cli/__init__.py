"""What people type: `mintage ...`. No business rule lives here."""
