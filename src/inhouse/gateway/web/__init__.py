"""The pages for a browser: sign-in, dashboard, chat, documents; rendered here, with nothing from elsewhere."""
