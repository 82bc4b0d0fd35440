// The Mantine theme: its parts in our tokens, our sizes and our density.
import {
  type CSSVariablesResolver,
  type MantineColorsTuple,
  Alert,
  Button,
  Checkbox,
  createTheme,
  Drawer,
  Modal,
  Switch,
  Tooltip,
} from '@mantine/core';

const steel: MantineColorsTuple = [
  '#eaf1f8',
  '#d3e1ef',
  '#a9c7e4',
  '#86b7e8',
  '#5c95cd',
  '#3f7fbd',
  '#2d70b0',
  '#2464a8',
  '#1c5a9e',
  '#154a85',
];

const red: MantineColorsTuple = [
  '#fbeaec',
  '#f3ced3',
  '#eaa3ac',
  '#ff6b70',
  '#dd4a5c',
  '#d22f45',
  '#c91d36',
  '#c3152f',
  '#be0f2b',
  '#8f0b20',
];

const overlay = { backgroundOpacity: 0.45 };

export const theme = createTheme({
  colors: { steel, red },
  primaryColor: 'steel',
  primaryShade: { light: 8, dark: 3 },
  fontFamily: "'IBM Plex Sans', system-ui, sans-serif",
  fontFamilyMonospace: "'IBM Plex Mono', ui-monospace, monospace",
  fontSizes: { xs: '0.75rem', sm: '0.8125rem', md: '0.875rem', lg: '1rem', xl: '1.125rem' },
  lineHeights: { xs: '1.35', sm: '1.4', md: '1.43', lg: '1.45', xl: '1.5' },
  headings: {
    fontWeight: '600',
    sizes: { h1: { fontSize: '1.125rem' }, h2: { fontSize: '1rem' }, h3: { fontSize: '0.875rem' } },
  },
  defaultRadius: 4,
  cursorType: 'pointer',
  focusRing: 'auto',
  respectReducedMotion: true,
  components: {
    Alert: Alert.extend({ defaultProps: { variant: 'outline' } }),
    Button: Button.extend({
      defaultProps: { size: 'sm' },
      vars: (_, { variant = 'filled' }) => ({
        root: variant === 'filled' ? { '--button-color': 'var(--nx-on-action)' } : {},
      }),
    }),
    Checkbox: Checkbox.extend({ defaultProps: { size: 'md' } }),
    Switch: Switch.extend({ defaultProps: { size: 'md' } }),
    Drawer: Drawer.extend({ defaultProps: { overlayProps: overlay }, styles: { title: { fontWeight: 600 } } }),
    Modal: Modal.extend({
      defaultProps: { centered: true, overlayProps: overlay },
      styles: { title: { fontWeight: 600 } },
    }),
    Tooltip: Tooltip.extend({ defaultProps: { openDelay: 350, withArrow: true } }),
  },
});

const shared = {
  '--mantine-color-body': 'var(--nx-raised)',
  '--mantine-color-text': 'var(--nx-text)',
  '--mantine-color-dimmed': 'var(--nx-muted)',
  '--mantine-color-placeholder': 'var(--nx-muted)',
  '--mantine-color-default': 'var(--nx-raised)',
  '--mantine-color-default-hover': 'var(--nx-hover)',
  '--mantine-color-default-color': 'var(--nx-text)',
  '--mantine-color-default-border': 'var(--nx-control)',
  '--mantine-color-anchor': 'var(--nx-action)',
  '--mantine-color-error': 'var(--nx-fail)',
};

export const cssVariables: CSSVariablesResolver = () => ({ variables: {}, light: shared, dark: shared });
