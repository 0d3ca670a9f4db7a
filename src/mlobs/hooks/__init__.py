"""What stands in other people's code: integrations, the functions they put in place of a framework's, wrapped applications."""
